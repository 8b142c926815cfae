// Connections: params, refusals, heartbeats, and every way to lose one and to come back.

import assert from "node:assert/strict";

import { answer, Events, hasMembers, joined, joins, listen } from "../harness.mjs";

export async function connects(t) {
  const socket = await t.connected();
  assert.equal(socket.connectionState(), "open");
  await new Promise((resolve) => socket.disconnect(resolve));
  assert.equal(socket.connectionState(), "closed");
}

export async function params_of_the_connection_arrive(t) {
  const params = { user_id: "Zoë & ☃=1", list: ["a", "b"], deep: { er: { "[x]": "1" } }, empty: "", number: 7, yes: true };
  const channel = await joined(await t.connected({ params }), t.topic());
  const [status, { params: arrived, transport }] = await answer(channel.push("connected_with", {}));
  assert.deepEqual([status, transport], ["ok", t.transport]);
  // The client writes list[0]=a: a map with the keys of a list (P-006).
  const { vsn, ...own } = arrived;
  assert.deepEqual(own, { ...params, list: { 0: "a", 1: "b" }, number: "7", yes: "true" });
  assert.equal(vsn, "2.0.0");
}

export async function refused_connect_is_retried_with_backoff(t) {
  const tries = [];
  let token = "bad";
  const socket = t.socket({
    params: () => ({ token }),
    reconnectAfterMs(attempt) {
      tries.push(attempt);
      return attempt;
    },
  });
  socket.connect();
  for (let n = 0; n < 3; n++) await t.refusal(socket);
  token = "good";
  await socket.opened.next();
  // Over long polling 1.5 and 1.6 give up their own polls on a refusal, and count that attempt again.
  assert.equal(tries[0], 1);
  assert.ok(tries.length >= 3 && tries.every((attempt, n) => n === 0 || attempt >= tries[n - 1]), String(tries));
}

export async function everything_before_the_connection_waits_for_it(t) {
  const socket = t.socket();
  const channel = socket.channel(t.topic(), { early: true });
  const done = [answer(channel.join()), answer(channel.push("echo", { n: 1 })), answer(channel.push("recall", {}))];
  socket.connect();
  assert.deepEqual(await Promise.all(done), [
    ["ok", {}],
    ["ok", { n: 1 }],
    ["ok", { value: null, joined_with: { early: true } }],
  ]);
}

export async function app_that_disconnects_may_connect_again(t) {
  const socket = await t.connected();
  const channel = await joined(socket, t.topic());
  const rejoined = joins(channel);
  await rejoined.next();
  await new Promise((resolve) => socket.disconnect(resolve));
  const waiting = answer(channel.push("echo", { later: 1 }));
  socket.connect();
  await rejoined.next();
  assert.deepEqual(await waiting, ["ok", { later: 1 }]);
}

export async function ping_is_answered(t) {
  const socket = await t.connected();
  const took = await new Promise((resolve) => assert.ok(socket.ping(resolve)));
  assert.ok(took >= 0);
}

export async function hooks_of_the_socket_see_everything(t) {
  const socket = await t.connected();
  const seen = [];
  const refs = [
    socket.onMessage(({ topic, event }) => seen.push(`${event} of ${topic}`)),
    socket.onClose(() => seen.push("close")),
    socket.onOpen(() => seen.push("open")),
  ];
  const channel = await joined(socket, t.topic());
  await answer(channel.push("shout_and_reply", {}));
  assert.deepEqual(seen, ["phx_reply", "shout", "pushed", "phx_reply"].map((event) => `${event} of ${t.topic()}`));
  socket.off(refs);
  await answer(channel.push("echo", {}));
  assert.equal(seen.length, 4);
}

// The mount /short closes a connection after two seconds without a message.

export async function heartbeats_keep_an_idle_connection(t) {
  // More than twice that long must pass. A busy machine can delay a heartbeat by as much, so one of three attempts is
  // enough.
  const attempts = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    const socket = await t.connected({ heartbeatIntervalMs: 900 }, "/short");
    const lost = socket.closed.next().then(({ code }) => `closed with ${code}`);
    const kept = fiveReplies(socket).then(() => "kept");
    // The one that comes second ends in its deadline, which nobody waits for.
    for (const late of [lost, kept]) late.catch(() => {});
    attempts.push(await Promise.race([lost, kept]));
    socket.disconnect();
    if (attempts.at(-1) === "kept") return;
  }
  assert.fail(`every connection was lost: ${attempts.join(", ")}`);
}

async function fiveReplies(socket) {
  for (let n = 0; n < 5; n++) {
    const { topic, event, payload } = await socket.messages.next();
    assert.deepEqual([topic, event, payload], ["phoenix", "phx_reply", { status: "ok", response: {} }]);
  }
}

export async function idle_connection_is_closed_and_comes_back(t) {
  const socket = await t.connected({}, "/short");
  assert.equal((await socket.closed.next()).code, 1002);
  await socket.opened.next();
}

export async function heartbeat_without_an_answer_ends_in_a_new_connection(t) {
  const proxy = await t.proxy();
  const givenUp = new Events("the client gives up");
  const logger = (_kind, message) => String(message).startsWith("heartbeat timeout") && givenUp.add();
  const socket = await t.connected({ heartbeatIntervalMs: 1000, logger }, "/socket", proxy.url);
  const channel = await joined(socket, t.topic());
  const rejoined = joins(channel);
  await rejoined.next();
  await proxy.freeze();
  await givenUp.next();
  // Before 1.6 the client waits for the end of a close handshake that does not get through: the network gives up, too.
  if (!t.since("1.6")) await proxy.cut();
  await socket.opened.next();
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
}

export async function lost_connection_is_replaced(t) {
  const proxy = await t.proxy();
  const socket = await t.connected({}, "/socket", proxy.url);
  const channel = await joined(socket, t.topic());
  const [errors, rejoined] = [listen(channel, "phx_error"), joins(channel)];
  await rejoined.next();
  for (let n = 0; n < 3; n++) {
    await proxy.cut();
    assert.equal((await socket.closed.next()).code, 1006);
    await errors.next();
    await rejoined.next();
    assert.deepEqual(await answer(channel.push("echo", { n })), ["ok", { n }]);
  }
  await hasMembers(channel, t.topic(), 1);
}

export async function disconnected_client_comes_back(t) {
  const user_id = t.name;
  const [first, second, stranger] = [
    await t.connected({ params: { user_id } }, t.brief),
    await t.connected({ params: { user_id } }, t.brief),
    await t.connected({ params: { user_id: `${user_id}-stranger` } }, t.brief),
  ];
  const channel = await joined(first, t.topic());
  const [errors, rejoined] = [listen(channel, "phx_error"), joins(channel)];
  await rejoined.next();
  channel.push("disconnect_me", {});
  for (const socket of [first, second]) {
    t.assertClosedWith(await socket.closed.next(), { websocket: 1001, longpoll: 3410 });
    await socket.opened.next();
  }
  await rejoined.next();
  const reason = await errors.next();
  const name = t.longpoll ? "connection_error" : "connection_closed";
  if (t.since("1.8.10")) assert.deepEqual(reason, { source: "transport", reason: name });
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  await joined(stranger, t.topic("-stranger"));
  assert.deepEqual(stranger.closed.rest, []);
}

// The case has a server of its own, and ends it with the signal; the client must come back to its successor.
async function restarted(t, signal, codes) {
  const server = await t.server();
  const socket = await t.connected({}, t.brief, server.url);
  const channel = await joined(socket, t.topic());
  const rejoined = joins(channel);
  await rejoined.next();
  await server.end(signal);
  t.assertClosedWith(await socket.closed.next(), codes);
  await socket.failed.next();
  await t.server(server.port);
  await socket.opened.next();
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
}

export async function killed_server_is_found_again(t) {
  await restarted(t, "SIGKILL", { websocket: 1006, longpoll: 1011 });
}

export async function stopped_server_is_found_again(t) {
  await restarted(t, "SIGTERM", { websocket: 1012, longpoll: 1011 });
}
