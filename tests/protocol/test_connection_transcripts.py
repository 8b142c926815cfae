"""The captures of the spec, frame for frame: C> the client sends, D> the driver does, S> the server sends."""

import pytest

from phoenix_channels.protocol.serializers import Serializer, V1JSONSerializer, V2JSONSerializer
from tests.protocol.scripted import ScriptedDriver, play

V1: Serializer = V1JSONSerializer()
V2: Serializer = V2JSONSerializer()

V2_TRANSCRIPTS = {
    "P-048 what the connection answers by itself": """
        C> [null,"1","phoenix","heartbeat",{}]
        S> [null,"1","phoenix","phx_reply",{"response":{},"status":"ok"}]
        C> ["7","2","phoenix","heartbeat",{}]
        S> [null,"2","phoenix","phx_reply",{"response":{},"status":"ok"}]     null even if the client sent one
        C> ["3","11","room:a","ok",{}]                                        not joined
        S> [null,"11","room:a","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        C> ["20","22","room:a","phx_leave",{}]                                not joined
        S> ["20","22","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> [null,"23","phoenix","other",{}]
        S> [null,"23","phoenix","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        C> ["24","24","phoenix","phx_join",{}]
        S> [null,"24","phoenix","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        C> ["25","25","nowhere","phx_join",{}]
        S> [null,"25","nowhere","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
    """,
    "P-031 refs are echoed with type and value": """
        C> [7,8,"room:a","phx_join",{}]
        S> [7,8,"room:a","phx_reply",{"response":{},"status":"ok"}]
        C> [7,{"any":["object"]},"room:a","ok",{}]
        S> [7,{"any":["object"]},"room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["7","9","room:a","ok",{}]                                         7 is not "7"
        C> [7.0,"9","room:a","ok",{}]
        C> [null,null,"phoenix","heartbeat",{}]
        S> [null,null,"phoenix","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-031 a topic that is no string matches nothing": """
        C> ["1","2",5,"phx_join",{}]
        S> [null,"2",5,"phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        C> ["1","2",["room:a"],"ok",{}]
        S> [null,"2",["room:a"],"phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        C> ["1","2",{"a":1},"phx_leave",{}]
        S> ["1","2",{"a":1},"phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2",null,null,{}]
        S> [null,"2",null,"phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
    """,
    "P-034 any status": """
        C> ["1","1","room:a","phx_join",{}]
        S> ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2","room:a","status","wait"]
        S> ["1","2","room:a","phx_reply",{"response":{},"status":"wait"}]
    """,
    "P-033 any response": """
        C> ["1","1","room:a","phx_join",{}]
        S> ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2","room:a","echo",[1,"two",null]]
        S> ["1","2","room:a","phx_reply",{"response":[1,"two",null],"status":"ok"}]
        C> ["1","3","room:a","echo",null]
        S> ["1","3","room:a","phx_reply",{"response":null,"status":"ok"}]
    """,
    "P-052 refused, crashed, and with a binary reply": """
        C> ["13","13","room:err","phx_join",{}]
        S> ["13","13","room:err","phx_reply",{"response":{"reason":"unauthorized"},"status":"error"}]
        C> ["14","14","room:raise","phx_join",{}]
        S> ["14","14","room:raise","phx_reply",{"response":{"reason":"join crashed"},"status":"error"}]
        C> ["16","16","room:bin","phx_join",{}]
        S> binary 01 02 02 08 02 "16" "16" "room:bin" "ok" 01 02 03
        C> ["13","17","room:err","ok",{}]                                     no entry is left
        S> [null,"17","room:err","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
    """,
    "P-056 joins with null join_ref": """
        C> [null,"90","room:n","phx_join",{}]
        S> [null,"90","room:n","phx_reply",{"response":{},"status":"ok"}]
        C> [null,"93","room:n","pushreply",{}]
        S> ["90",null,"room:n","p1",{}]
        S> ["90","93","room:n","phx_reply",{"response":{},"status":"ok"}]
        C> ["90","94","room:n","ok",{}]                                       only null is accepted (P-049)
        D> crash room:n
        S> [null,null,"room:n","phx_error",{"reason":"channel_crash"}]
    """,
    "P-049 null and equal pass, stale is dropped": """
        C> ["3","4","room:a","phx_join",{}]
        S> ["3","4","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> [null,"5","room:a","ok",{}]
        S> ["3","5","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["3","6","room:a","ok",{}]
        S> ["3","6","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> [3,"7","room:a","ok",{}]
        C> ["4","8","room:a","ok",{}]
        C> ["2","9","room:a","phx_leave",{}]
        C> ["3","10","room:a","ok",{}]
        S> ["3","10","room:a","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-057 a duplicate join": """
        C> ["30","30","room:b","phx_join",{}]
        S> ["30","30","room:b","phx_reply",{"response":{},"status":"ok"}]
        C> ["33","33","room:b","phx_join",{}]
        S> ["33","33","room:b","phx_reply",{"response":{},"status":"ok"}]
        S> ["30","30","room:b","phx_close",{}]
        C> ["30","34","room:b","ok",{}]                                       stale: dropped without reply
        C> ["33","35","room:b","ok",{}]
        S> ["33","35","room:b","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-057 the new join fails: the old channel is gone all the same": """
        C> ["30","30","room:held","phx_join",{}]
        D> accept room:held
        S> ["30","30","room:held","phx_reply",{"response":{},"status":"ok"}]
        C> ["33","33","room:held","phx_join",{}]
        D> refuse room:held
        S> ["33","33","room:held","phx_reply",{"response":{"reason":"unauthorized"},"status":"error"}]
        S> ["30","30","room:held","phx_close",{}]
        C> ["30","34","room:held","ok",{}]
        S> [null,"34","room:held","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
    """,
    "P-053 what arrives while a join is decided waits for it": """
        C> ["1","1","room:held","phx_join",{}]
        C> ["1","2","room:held","ok",{}]
        C> ["1","3","room:held","pushreply",{}]
        C> [null,"4","phoenix","heartbeat",{}]                                others do not wait
        S> [null,"4","phoenix","phx_reply",{"response":{},"status":"ok"}]
        C> ["5","5","room:b","phx_join",{}]
        S> ["5","5","room:b","phx_reply",{"response":{},"status":"ok"}]
        D> accept room:held
        S> ["1","1","room:held","phx_reply",{"response":{},"status":"ok"}]
        S> ["1","2","room:held","phx_reply",{"response":{},"status":"ok"}]
        S> ["1",null,"room:held","p1",{}]
        S> ["1","3","room:held","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-048 what waited for a join that is refused": """
        C> ["1","1","room:held","phx_join",{}]
        C> ["1","2","room:held","ok",{}]
        C> ["1","3","room:held","phx_leave",{}]
        D> refuse room:held
        S> ["1","1","room:held","phx_reply",{"response":{"reason":"unauthorized"},"status":"error"}]
        S> [null,"2","room:held","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        S> ["1","3","room:held","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-059 leave and join, pipelined": """
        C> ["1","1","room:held","phx_join",{}]
        D> accept room:held
        S> ["1","1","room:held","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2","room:held","phx_leave",{}]
        C> ["3","3","room:held","phx_join",{}]
        C> ["3","4","room:held","ok",{}]
        D> push room:held
        S> ["1",null,"room:held","p1",{}]
        D> leave room:held
        S> ["1","2","room:held","phx_reply",{"response":{},"status":"ok"}]
        S> ["1","1","room:held","phx_close",{}]
        S> ["1",null,"room:held","last",{}]
        D> accept room:held
        S> ["3","3","room:held","phx_reply",{"response":{},"status":"ok"}]
        S> ["3","4","room:held","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-061 the results of a handler": """
        C> ["1","1","room:a","phx_join",{}]
        S> ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2","room:a","noreply",{}]
        C> ["1","3","room:a","err",{"x":1}]
        S> ["1","3","room:a","phx_reply",{"response":{"p":{"x":1}},"status":"error"}]
        C> ["1",null,"room:a","ok",{}]                                        a null ref is echoed as null
        S> ["1",null,"room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","4","room:a","stopreply",{}]
        S> ["1","4","room:a","phx_reply",{"response":{"bye":1},"status":"ok"}]
        S> ["1","1","room:a","phx_close",{}]
    """,
    "P-062 late replies, any number of them": """
        C> ["1","1","room:a","phx_join",{}]
        S> ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2","room:a","later",{}]
        D> reply room:a
        S> ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]
        D> reply room:a
        S> ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]
        D> close room:a
        S> ["1","1","room:a","phx_close",{}]
        D> reply room:a
        S> ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-063 pushes have no ref": """
        C> ["1","2","room:a","phx_join",{}]
        S> ["1","2","room:a","phx_reply",{"response":{},"status":"ok"}]
        D> push room:a
        S> ["1",null,"room:a","p1",{}]
        D> broadcast room:a
        S> [null,null,"room:a","bc",{}]
    """,
    "P-064 leave: reply, close, what terminate pushes": """
        C> ["20","20","room:a","phx_join",{}]
        S> ["20","20","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["20","21","room:a","phx_leave",{"ignored":true}]
        S> ["20","21","room:a","phx_reply",{"response":{},"status":"ok"}]
        S> ["20","20","room:a","phx_close",{}]
        S> ["20",null,"room:a","last",{}]
        C> ["20","22","room:a","ok",{}]
        S> [null,"22","room:a","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
        C> ["20","23","room:a","phx_leave",{}]
        S> ["20","23","room:a","phx_reply",{"response":{},"status":"ok"}]
    """,
    "P-064 between an accepted leave and the close pushes are dropped": """
        C> ["20","20","room:held","phx_join",{}]
        D> accept room:held
        S> ["20","20","room:held","phx_reply",{"response":{},"status":"ok"}]
        C> ["20","21","room:held","phx_leave",{}]
        C> ["20","22","room:held","ok",{}]
        C> ["20","23","room:held","phx_leave",{}]
        D> leave room:held
        S> ["20","21","room:held","phx_reply",{"response":{},"status":"ok"}]
        S> ["20","20","room:held","phx_close",{}]
        S> ["20",null,"room:held","last",{}]
    """,
    "P-065 phx_close goes out before terminate": """
        C> ["1","1","room:a","phx_join",{}]
        S> ["1","1","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> ["1","2","room:a","stop",{}]
        S> ["1","1","room:a","phx_close",{}]
        S> ["1",null,"room:a","last",{}]
    """,
    "P-066 phx_error goes out after terminate, and no reply": """
        C> ["52","52","room:b","phx_join",{}]
        S> ["52","52","room:b","phx_reply",{"response":{},"status":"ok"}]
        C> ["52","53","room:b","boom",{}]
        S> ["52",null,"room:b","last",{}]
        S> ["52","52","room:b","phx_error",{"reason":"channel_crash"}]
        C> ["52","54","room:b","ok",{}]
        S> [null,"54","room:b","phx_reply",{"response":{"reason":"unmatched topic"},"status":"error"}]
    """,
    "P-042 heartbeat, join and leave as binary frames": """
        C> binary 00 00 01 07 09 "1" "phoenix" "heartbeat"
        S> [null,"1","phoenix","phx_reply",{"response":{},"status":"ok"}]
        C> binary 00 01 01 06 08 "2" "2" "room:a" "phx_join" 00 ff
        S> ["2","2","room:a","phx_reply",{"response":{},"status":"ok"}]
        C> binary 00 00 00 06 04 "room:a" "echo" 00 ff
        S> binary 01 01 00 06 02 "2" "room:a" "ok" 00 ff
        C> binary 00 01 01 06 09 "2" "3" "room:a" "phx_leave"
        S> ["2","3","room:a","phx_reply",{"response":{},"status":"ok"}]
        S> ["2","2","room:a","phx_close",{}]
        S> ["2",null,"room:a","last",{}]
    """,
    "section 25 the worked transcript": """
        C> ["20","20","room:after","phx_join",{}]
        S> ["20","20","room:after","phx_reply",{"response":{"hello":1},"status":"ok"}]
        S> [null,null,"room:after","user_entered",{"u":1}]                 broadcast from after-join
        S> ["20",null,"room:after","joined",{"a":1}]                       push from after-join
        C> ["20","21","room:after","err",{"p":1}]
        S> ["20","21","room:after","phx_reply",{"response":{"p":{"p":1}},"status":"error"}]
        C> ["20","22","room:after","pushreply",{}]
        S> ["20",null,"room:after","p1",{}]
        S> ["20","22","room:after","phx_reply",{"response":{},"status":"ok"}]
        C> ["20","23","room:after","bc",{"z":1}]                           broadcast then reply ok
        S> [null,null,"room:after","bc",{"z":1}]
        S> ["20","23","room:after","phx_reply",{"response":{},"status":"ok"}]
        C> ["20","24","room:after","bcfrom",{"z":1}]                       broadcast_from then reply ok
        S> ["20","24","room:after","phx_reply",{"response":{},"status":"ok"}]
        C> ["20","25","room:after","outbc",{"z":1}]                        intercepted, handle_out adds t
        S> ["20",null,"room:after","out",{"t":1,"z":1}]
        C> binary 00 02 02 0a 03 "20" "26" "room:after" "bin" 00 01 02
        S> binary 00 02 0a 07 "20" "room:after" "binpush" 00 01 02
        S> binary 02 0a 05 "room:after" "binbc" 00 01 02
        S> binary 01 02 02 0a 02 "20" "26" "room:after" "ok" 00 01 02
        C> ["20","27","room:after","stopreply",{"r":"normal"}]
        S> ["20","27","room:after","phx_reply",{"response":{"bye":1},"status":"ok"}]
        S> ["20","20","room:after","phx_close",{}]
    """,
}

V1_TRANSCRIPTS = {
    "P-043 join, push, reply": """
        C> {"topic":"room:a","event":"phx_join","payload":{"a":1},"ref":"2"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:a"}
        C> {"topic":"room:a","event":"pushreply","payload":{},"ref":"3"}
        S> {"event":"p1","payload":{},"ref":null,"topic":"room:a"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"3","topic":"room:a"}
        C> {"topic":"phoenix","event":"heartbeat","payload":{},"ref":"4"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"4","topic":"phoenix"}
    """,
    "P-044 the end of a join without join_ref bears the join's ref": """
        C> {"topic":"room:a","event":"phx_join","payload":{},"ref":"2"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:a"}
        C> {"topic":"room:a","event":"phx_join","payload":{},"ref":"3"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"3","topic":"room:a"}
        S> {"event":"phx_close","payload":{},"ref":"2","topic":"room:a"}
        D> crash room:a
        S> {"event":"phx_error","payload":{"reason":"channel_crash"},"ref":"3","topic":"room:a"}
    """,
    "P-044 the end of a join with a join_ref bears that": """
        C> {"topic":"room:a","event":"phx_join","payload":{},"ref":"2","join_ref":"1"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:a"}
        C> {"topic":"room:a","event":"ok","payload":{},"ref":"5","join_ref":"2"}
        D> close room:a
        S> {"event":"phx_close","payload":{},"ref":"1","topic":"room:a"}
    """,
    "P-045 JSON in a binary frame": """
        C> binary {"topic":"room:a","event":"phx_join","payload":{},"ref":"2"}
        S> {"event":"phx_reply","payload":{"response":{},"status":"ok"},"ref":"2","topic":"room:a"}
    """,
}


@pytest.mark.parametrize("title", V2_TRANSCRIPTS)
def test_v2(title: str) -> None:
    play(V2_TRANSCRIPTS[title], ScriptedDriver(V2))


@pytest.mark.parametrize("title", V1_TRANSCRIPTS)
def test_v1(title: str) -> None:
    play(V1_TRANSCRIPTS[title], ScriptedDriver(V1))


def test_p051_the_limit() -> None:
    joined = "".join(
        f"""
        C> ["{number}","{number}","room:{number}","phx_join",{{}}]
        S> ["{number}","{number}","room:{number}","phx_reply",{{"response":{{}},"status":"ok"}}]
        """
        for number in range(1, 101)
    )
    transcript = """
        C> ["201","201","room:x","phx_join",{}]
        S> ["201","201","room:x","phx_reply",{"status":"error","response":{"reason":"too many channels joined"}}]
        C> ["202","202","nowhere","phx_join",{}]
        S> [null,"202","nowhere","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]
        C> ["203","203","room:1","phx_join",{}]
        S> ["203","203","room:1","phx_reply",{"response":{},"status":"ok"}]
        S> ["1","1","room:1","phx_close",{}]
        D> close room:2
        S> ["2","2","room:2","phx_close",{}]
        C> ["204","204","room:err","phx_join",{}]                              failed joins do not count
        S> ["204","204","room:err","phx_reply",{"response":{"reason":"unauthorized"},"status":"error"}]
        C> ["205","205","room:x","phx_join",{}]
        S> ["205","205","room:x","phx_reply",{"response":{},"status":"ok"}]
    """
    play(joined + transcript, ScriptedDriver(V2))
