"""P-136: tokens that Phoenix has made, of every kind of term."""

import math
from typing import Any

from phoenix_channels.token import Atom

SECRET = "abcdefgh" * 8
SALT = "user socket"
KEY = bytes.fromhex("d3f12b5b79f2122342c5c52cb5d451bb588e5c5af0a7c73cf6a90cc45b397d80")
"""What PBKDF2 makes of the two with the default options."""

TOKENS = {
    "1": "SFMyNTY.g2gDYQFuBgAAaOXPiwFiAAFRgA.pVQyJhbbKrMTF7SPAEhhkeN36zPMMdTQxpZfdHyYVQA",
    "-5": "SFMyNTY.g2gDYv____tuBgAAaOXPiwFiAAFRgA.l1CFFayMZcxzXlWj-wTXUZPDzaSGLk-Yf0WZsnM7B4g",
    "5000000000": "SFMyNTY.g2gDbgUAAPIFKgFuBgAAaOXPiwFiAAFRgA.7vltYNL6et37f4sL8jaXMb6DohDnqseuV7TCRgewic4",
    "123456789012345678901234567890": (
        "SFMyNTY.g2gDbg0A0go_Tu7gc8P2D-mOAW4GAABo5c-LAWIAAVGA.pxXNDLrBdExwNUybZ-kBYXg5pVb1fL4lDSJGz07bqlQ"
    ),
    '"user:42"': "SFMyNTY.g2gDbQAAAAd1c2VyOjQybgYAAGjlz4sBYgABUYA.WmSMerRggmj2qSPGLa6lPsfc52fbn49MjIm13KtAchE",
    '"é"': "SFMyNTY.g2gDbQAAAALDqW4GAABo5c-LAWIAAVGA.wD2WxKS46piv_Mpu0go2xAvB6_jdoAGdfegjQhjG6xE",
    "1.5": "SFMyNTY.g2gDRj_4AAAAAAAAbgYAAGjlz4sBYgABUYA.OX2qvLwvJ_YyD8xW4zxbErwFSKkwOO7xg_CJgmzFwcA",
    "true": "SFMyNTY.g2gDZAAEdHJ1ZW4GAABo5c-LAWIAAVGA.x-bWRQzIEDj5E6w7qxk6b9GioZgW_qBL-VXMNAL9lJM",
    "nil": "SFMyNTY.g2gDZAADbmlsbgYAAGjlz4sBYgABUYA.bPPt0_7q0HS6wIEuj1XdUHiFcy0wixmJdzlJL-fv3jc",
    "[1,2,3]": "SFMyNTY.g2gDawADAQIDbgYAAGjlz4sBYgABUYA.YmZJJArKB12q0deZ-7oQhamy8cPOOA0_Bmb6MsLuotA",
    '[1,"a",300]': (
        "SFMyNTY.g2gDbAAAAANhAW0AAAABYWIAAAEsam4GAABo5c-LAWIAAVGA.xuP1XkQ9Txx2LQHmD5emIGa8mtvvl_JrpnBqNpCqW1s"
    ),
    "[]": "SFMyNTY.g2gDam4GAABo5c-LAWIAAVGA.X1rKzJ3PIF83RqG2O-U6zaXIXnFI7RTGkEGlb17MmiA",
    '{1,"a"} (tuple)': "SFMyNTY.g2gDaAJhAW0AAAABYW4GAABo5c-LAWIAAVGA.rg4zxHXEZXBHOCKomC7vyoOZNVKljAd0VM5pYBwZizE",
    '%{"id" => 7}': "SFMyNTY.g2gDdAAAAAFtAAAAAmlkYQduBgAAaOXPiwFiAAFRgA.DlqL57WT1TeTG5HfwhqxNc5_lEoFHKVIMGbpjGSVxgU",
    '%{id: 7, name: "bob"} (atom keys)': (
        "SFMyNTY.g2gDdAAAAAJkAAJpZGEHZAAEbmFtZW0AAAADYm9ibgYAAGjlz4sBYgABUYA"
        ".9vPX_T4-tJ-bFuCrzymtZO_Qvw1Qdenkrr426lhBCEs"
    ),
    "1, max_age infinity": "SFMyNTY.g2gDYQFuBgAAaOXPiwFkAAhpbmZpbml0eQ.sLOpeYIY3rop2Jc_mu3AcGOAjc_bAmVn-hh_km4P9rw",
    "1, max_age 60": "SFMyNTY.g2gDYQFuBgAAaOXPiwFhPA.A0xydIboBikd2BNN2MObGQBV4q4dB15xwI8-lE5MzbI",
    "1, max_age 0.5": "SFMyNTY.g2gDYQFuBgAAaOXPiwFGP-AAAAAAAAA.qO_2SYnXwcDxmsYjI_LC6GUZ6T1h8C7iGKDECEsPbY4",
    "1, legacy 2-tuple": "SFMyNTY.g2gCYQFuBgAAaOXPiwE.LZKblnn7HMBunIac1b-7cJzowb7hsum0Wt_9pOr6Zps",
    "1, legacy map": "SFMyNTY.g3QAAAACZAAEZGF0YWEBZAAGc2lnbmVkbgYAAGjlz4sB._6_urJ7r8WtMZFdZDUXB4yiYcLoODNldiQzmIP8kqaE",
    "1, HS512": (
        "SFM1MTI.g2gDYQFuBgAAaOXPiwFiAAFRgA"
        ".-PxUxij57qUt4j-gtyeOhKBjDmTiqzP4DFu8iwEeVmm0iY90ppFTenNy3fS44R2gdSW6A-Wm3mlxRmvPR-nBlw"
    ),
    '200 x "x", compressed term': (
        "SFMyNTY.g1AAAADdeJzLYM5lYGA4UTFMQB4bA0PG0_PdjEkMjIENAHMeY7E.sVwCtzzzYTWHPgnBfSz_e7NYvX9Y4iz27TAGNbhs0ac"
    ),
}
"""By what they carry, in the words of Elixir; signed with :data:`KEY`."""

VALUES: dict[str, Any] = {
    "1": 1,
    "-5": -5,
    "5000000000": 5_000_000_000,
    "123456789012345678901234567890": 123456789012345678901234567890,
    '"user:42"': "user:42",
    '"é"': "é",
    "1.5": 1.5,
    "true": True,
    "nil": None,
    "[1,2,3]": [1, 2, 3],
    '[1,"a",300]': [1, "a", 300],
    "[]": [],
    '{1,"a"} (tuple)': (1, "a"),
    '%{"id" => 7}': {"id": 7},
    '%{id: 7, name: "bob"} (atom keys)': {Atom("id"): 7, Atom("name"): "bob"},
    "1, max_age infinity": 1,
    "1, max_age 60": 1,
    "1, max_age 0.5": 1,
    "1, legacy 2-tuple": 1,
    "1, legacy map": 1,
    "1, HS512": 1,
    '200 x "x", compressed term': "x" * 200,
}
"""What they carry, in the words of Python."""

SIGNED_AT = 1_700_000_000
"""When all of them were signed, in seconds."""

MAX_AGES = {"1, max_age infinity": math.inf, "1, max_age 60": 60, "1, max_age 0.5": 0.5}
"""For how many seconds they are good, if not for a day."""

DERIVED = {
    "key_digest sha384": "SFMyNTY.g2gDYQFuBgAAaOXPiwFiAAFRgA.jSEoIw7ylA0m4rHo0hdfrm4hQEFrM6OPqT_loJ_dyrw",
    "key_iterations 1": "SFMyNTY.g2gDYQFuBgAAaOXPiwFiAAFRgA.ZbhyDuloTNRklIOOzFUgRA_5BlKRnovekB7OL2o_nVY",
    "key_length 64": "SFMyNTY.g2gDYQFuBgAAaOXPiwFiAAFRgA.DxDSywfkVUQ5VIdNOStBjiERHJNffXkb37eW-jC9pNw",
}
"""Tokens of the integer 1 by the option with which their key was derived."""

ENCRYPTED = "XCP.fafU1WzdPOcE4yyjM4fZevoxoKzg-cWzeCDbQ-3LdHZUfMvFcOInyBW3u7rNa3sGaogsR1TNr7WIylM"
"""The integer 1, encrypted with :data:`KEY`."""

ENCRYPTED_PAYLOAD = bytes.fromhex("83680361016e06000068e5cf8b016200015180")
