// Messages in both directions: replies, pushes, broadcasts, and what may be in them.

import assert from "node:assert/strict";

import { answer, Events, joined, listen } from "../harness.mjs";

export async function push_is_answered(t) {
  const channel = await joined(await t.connected(), t.topic());
  assert.deepEqual(await answer(channel.push("echo", { n: [1, 2.5, null, true] })), ["ok", { n: [1, 2.5, null, true] }]);
  assert.deepEqual(await answer(channel.push("echo_error", { why: "no" })), ["error", { why: "no" }]);
  assert.deepEqual(await answer(channel.push("echo_status", {})), ["ok", {}]);
  assert.deepEqual(await answer(channel.push("async", { later: 1 })), ["ok", { later: 1 }]);
}

export async function push_times_out_without_a_reply(t) {
  const channel = await joined(await t.connected(), t.topic());
  assert.deepEqual(await answer(channel.push("noreply", {}, 50)), ["timeout", {}]);
  assert.deepEqual(await answer(channel.push("echo", { still: "here" })), ["ok", { still: "here" }]);
}

export async function reply_may_have_a_status_of_its_own(t) {
  const channel = await joined(await t.connected(), t.topic());
  const busy = new Events("a reply with the status busy");
  channel.push("any_status", { status: "busy", response: { retry: 5 } }).receive("busy", busy.add);
  assert.deepEqual(await busy.next(), { retry: 5 });
}

export async function payloads_of_every_kind_come_back(t) {
  const channel = await joined(await t.connected(), t.topic());
  const kinds = [{}, [], [1, [2, {}]], "text", 1, -1.5, 1e100, 2 ** 53, true, { a: { b: [null, false, 0, ""] } }];
  // From 1.5 on the client makes {} of what is false.
  if (!t.since("1.5")) kinds.push(null, false, 0, "");
  for (const kind of kinds) {
    assert.deepEqual(await answer(channel.push("echo", kind)), ["ok", kind]);
    assert.deepEqual(await answer(channel.push("echo_error", kind)), ["error", kind]);
  }
  for (const response of [null, false, 0, ""]) {
    assert.deepEqual(await answer(channel.push("any_status", { status: "ok", response })), ["ok", response]);
  }
  assert.deepEqual(await answer(channel.push("echo", { [""]: { "a.b": 1, "[]": 2 } })), ["ok", { "": { "a.b": 1, "[]": 2 } }]);
}

export async function unicode_arrives_unchanged(t) {
  const topic = t.topic(":é☃😀 \"\\/\u2028");
  const channel = await joined(await t.connected({ params: { user_id: "Zoë ☃" } }), topic, { "ключ": "値" });
  const payload = { "😀": "é☃😀\u0000\u2028\"\\/", empty: "", nested: { "ключ": ["値", "\ud83d\ude00"] } };
  const shouts = listen(channel, "shout");
  channel.push("shout", payload);
  assert.deepEqual(await shouts.next(), payload);
  assert.deepEqual(await answer(channel.push("echo", payload)), ["ok", payload]);
  assert.deepEqual((await answer(channel.push("recall", {})))[1].joined_with, { "ключ": "値" });
  const secrets = listen(channel, "secret");
  channel.push("tell_secret", payload);
  assert.deepEqual(await secrets.next(), { ...payload, for: "Zoë ☃" });
  assert.deepEqual(await answer(channel.push("écho 😀", payload)), ["ok", payload]);
}

export async function megabyte_goes_there_and_back(t) {
  const channel = await joined(await t.connected(), t.topic());
  const other = listen(await joined(await t.connected(), t.topic()), "shout");
  const payload = { text: "é".repeat(500_000), end: true };
  const [status, response] = await answer(channel.push("echo", payload));
  assert.equal(status, "ok");
  assert.ok(response.text === payload.text && response.end);
  channel.push("shout_from", payload);
  assert.ok((await other.next()).text === payload.text);
}

export async function server_pushes(t) {
  const socket = await t.connected();
  const channel = socket.channel("room:lobby");
  const welcomes = listen(channel, "welcome");
  channel.join();
  assert.deepEqual(await welcomes.next(), { topic: "room:lobby" });
  const ticks = listen(channel, "tick");
  channel.push("timer", {});
  assert.deepEqual(await ticks.next(), {});
}

export async function burst_of_pushes_keeps_its_order(t) {
  const socket = await t.connected();
  const channel = await joined(socket, t.topic());
  const bursts = listen(channel, "burst");
  assert.deepEqual(await answer(channel.push("burst", { count: 500 })), ["ok", {}]);
  assert.deepEqual(bursts.rest.map(({ n }) => n), [...Array(500).keys()]);
}

export async function many_pushes_at_once_are_answered_in_order(t) {
  const channel = await joined(await t.connected(), t.topic());
  const order = [];
  const pushes = Array.from({ length: 250 }, (_, n) => answer(channel.push("echo", { n })).then(() => order.push(n)));
  await Promise.all(pushes);
  assert.deepEqual(order, [...Array(250).keys()]);
}

export async function broadcast_precedes_what_the_channel_sends_next(t) {
  const socket = await t.connected();
  const channel = await joined(socket, t.topic());
  await socket.messages.next();
  const replies = Array.from({ length: 30 }, (_, n) => answer(channel.push("shout_and_reply", { n })));
  await Promise.all(replies);
  // P-071: each handler's broadcast, push and reply leave in the order in which it made them.
  const seen = socket.messages.rest.map(({ event, payload }) => [event, payload.n ?? payload.response.n]);
  const expected = [...Array(30).keys()].flatMap((n) => [["shout", n], ["pushed", n], ["phx_reply", n]]);
  assert.deepEqual(seen, expected);
}

export async function hook_of_the_channel_sees_and_changes_payloads(t) {
  const channel = t.socket().channel(t.topic());
  channel.socket.connect();
  const events = [];
  channel.onMessage = (event, payload) => {
    events.push(event);
    return event === "pushed" ? { ...payload, changed: true } : payload;
  };
  const [pushed, ended] = [listen(channel, "pushed"), new Events("the channel closes")];
  channel.onClose(ended.add);
  await answer(channel.join());
  channel.push("push_back", { n: 1 });
  assert.deepEqual(await pushed.next(), { n: 1, changed: true });
  channel.push("stop", {});
  await ended.next();
  assert.deepEqual(events.filter((event) => !event.startsWith("chan_reply")), ["phx_reply", "pushed", "phx_close"]);
}

async function three(t) {
  const channels = [];
  for (let n = 0; n < 3; n++) channels.push(await joined(await t.connected({ params: { user_id: `${n}` } }), t.topic()));
  return channels;
}

export async function broadcast_reaches_every_client(t) {
  const channels = await three(t);
  const shouts = channels.map((channel) => listen(channel, "shout"));
  for (let n = 0; n < 20; n++) channels[n % 3].push("shout", { n });
  for (const events of shouts) {
    const seen = [];
    for (let n = 0; n < 20; n++) seen.push((await events.next()).n);
    // Each client's own broadcasts keep their order; between clients there is none.
    for (let sender = 0; sender < 3; sender++) {
      const own = seen.filter((n) => n % 3 === sender);
      assert.deepEqual(own, [...own].sort((a, b) => a - b));
    }
    assert.deepEqual([...seen].sort((a, b) => a - b), [...Array(20).keys()]);
  }
}

export async function broadcast_from_spares_the_sender(t) {
  const channels = await three(t);
  const [own, ...others] = channels.map((channel) => listen(channel, "shout"));
  assert.deepEqual(await answer(channels[0].push("shout_from", { n: 1 })), ["ok", {}]);
  for (const events of others) assert.deepEqual(await events.next(), { n: 1 });
  assert.deepEqual(own.rest, []);
}

export async function intercepted_event_is_made_for_each_client(t) {
  const channels = await three(t);
  const secrets = channels.map((channel) => listen(channel, "secret"));
  channels[0].push("tell_secret", { k: 1 });
  for (const [n, events] of secrets.entries()) assert.deepEqual(await events.next(), { k: 1, for: `${n}` });
}

// The serializer of version 1 is the application's own: the client sends whatever it is given.
const V1 = {
  vsn: "1.0.0",
  encode: (message, callback) => callback(JSON.stringify(message)),
  decode: (text, callback) => callback(JSON.parse(text)),
};

export async function version_1_works_with_a_serializer_for_it(t) {
  // Only a transport that is not its own LongPoll gets a serializer from the client.
  const transport = t.longpoll ? class extends t.LongPoll {} : t.WebSocket;
  const socket = await t.connected({ ...V1, transport, params: { user_id: "v1" } });
  const channel = await joined(socket, t.topic(), { from: "v1" });
  const modern = await joined(await t.connected(), t.topic());
  const [shouts, moderns, secrets] = [listen(channel, "shout"), listen(modern, "shout"), listen(channel, "secret")];
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  assert.deepEqual((await answer(channel.push("connected_with", {})))[1].params.vsn, "1.0.0");
  channel.push("shout", { from: 1 });
  modern.push("shout", { from: 2 });
  for (const events of [shouts, moderns]) {
    assert.deepEqual([await events.next(), await events.next()].map(({ from }) => from).sort(), [1, 2]);
  }
  channel.push("tell_secret", { k: 1 });
  assert.deepEqual(await secrets.next(), { k: 1, for: "v1" });
  const errors = listen(channel, "phx_error");
  channel.push("crash", {});
  await errors.next();
  assert.deepEqual(await answer(channel.push("echo", { again: 1 })), ["ok", { again: 1 }]);
  channel.leave();
  // Without a join_ref in its frames the client would take the end of this channel for that of the next one.
  await socket.messages.find(({ event }) => event === "phx_close");
  const second = await joined(socket, t.topic());
  assert.deepEqual(await answer(second.push("stop_reply", { bye: 1 })), ["ok", { bye: 1 }]);
}

export async function version_nobody_speaks_is_refused(t) {
  const socket = t.socket({ vsn: "3.0.0" });
  socket.connect();
  for (let n = 0; n < 2; n++) await t.refusal(socket);
  assert.deepEqual(socket.opened.rest, []);
}
