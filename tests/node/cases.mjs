// The cases, by name: the npm client against a running application (tests/conformance/app.py).

import assert from "node:assert/strict";

import { answer, joined, joins, listen } from "./harness.mjs";

export async function connects(t) {
  const socket = await t.connected();
  assert.equal(socket.connectionState(), "open");
  socket.disconnect();
  await socket.closed.next();
  assert.equal(socket.connectionState(), "closed");
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
  for (let n = 0; n < 3; n++) assert.match((await socket.failed.next()).message, /403/);
  token = "good";
  await socket.opened.next();
  assert.deepEqual(tries.slice(0, 3), [1, 2, 3]);
}

export async function join_is_answered(t) {
  const socket = await t.connected({ params: { user_id: "21" } });
  assert.deepEqual(await answer(socket.channel("notifications:21").join()), ["ok", "Joined Notification:21"]);
  assert.deepEqual(await answer(socket.channel(t.topic()).join()), ["ok", {}]);
}

export async function refused_join_is_retried(t) {
  const tries = [];
  const socket = await t.connected({
    rejoinAfterMs(attempt) {
      tries.push(attempt);
      return attempt;
    },
  });
  const reasons = { "room:private": "unauthorized", "room:crash": "join crashed", "nowhere:1": "unmatched topic" };
  for (const [topic, reason] of Object.entries(reasons)) {
    tries.length = 0;
    const channel = socket.channel(topic);
    const replies = listen(channel, "phx_reply");
    channel.join();
    for (let n = 0; n < 3; n++) assert.deepEqual(await replies.next(), { status: "error", response: { reason } });
    assert.deepEqual(tries.slice(0, 2), [1, 2]);
    channel.leave();
  }
}

export async function push_is_answered(t) {
  const channel = await joined(await t.connected(), t.topic());
  assert.deepEqual(await answer(channel.push("echo", { n: [1, 2.5, null, true] })), ["ok", { n: [1, 2.5, null, true] }]);
  assert.deepEqual(await answer(channel.push("echo_error", { why: "no" })), ["error", { why: "no" }]);
  assert.deepEqual(await answer(channel.push("echo_status")), ["ok", {}]);
  assert.deepEqual(await answer(channel.push("async", { later: 1 })), ["ok", { later: 1 }]);
}

export async function push_times_out_without_a_reply(t) {
  const channel = await joined(await t.connected(), t.topic());
  assert.deepEqual(await answer(channel.push("noreply", {}, 50)), ["timeout", {}]);
  assert.deepEqual(await answer(channel.push("echo", { still: "here" })), ["ok", { still: "here" }]);
}

export async function pushes_wait_for_a_slow_join(t) {
  const socket = await t.connected();
  const slow = socket.channel("room:slow");
  const order = [];
  slow.join().receive("ok", () => order.push("join"));
  const pushes = [1, 2].map((n) => answer(slow.push("echo", { n })).then(() => order.push(n)));
  await joined(socket, t.topic());
  await Promise.all(pushes);
  assert.deepEqual(order, ["join", 1, 2]);
}

export async function server_pushes(t) {
  const socket = await t.connected();
  const channel = socket.channel("room:lobby");
  const welcomes = listen(channel, "welcome");
  channel.join();
  assert.deepEqual(await welcomes.next(), { topic: "room:lobby" });
  const ticks = listen(channel, "tick");
  channel.push("timer");
  assert.deepEqual(await ticks.next(), {});
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

export async function leave_ends_the_channel_once(t) {
  const socket = await t.connected();
  const [channel, witness] = [await joined(socket, t.topic()), await joined(socket, t.topic("-witness"))];
  const [closes, errors] = [listen(channel, "phx_close"), listen(channel, "phx_error")];
  assert.deepEqual(await answer(channel.leave()), ["ok", {}]);
  for (let event; event !== "phx_close"; ) ({ event } = await socket.messages.next());
  // The answer to a later push proves that nothing more came of it.
  assert.deepEqual(await answer(witness.push("echo", {})), ["ok", {}]);
  assert.deepEqual([channel.state, closes.rest.length, errors.rest], ["closed", 1, []]);
  const again = await joined(socket, t.topic());
  assert.deepEqual(await answer(again.push("echo", { back: 1 })), ["ok", { back: 1 }]);
}

export async function stopped_channel_stays_away(t) {
  const socket = await t.connected();
  const channel = await joined(socket, t.topic());
  const [closes, errors] = [listen(channel, "phx_close"), listen(channel, "phx_error")];
  assert.deepEqual(await answer(channel.push("stop_reply", { bye: 1 })), ["ok", { bye: 1 }]);
  await closes.next();
  assert.deepEqual([channel.state, errors.rest], ["closed", []]);
}

export async function crashed_channel_rejoins(t) {
  const socket = await t.connected();
  const [channel, other] = [await joined(socket, t.topic()), await joined(socket, t.topic("-other"))];
  const [errors, others, rejoined] = [listen(channel, "phx_error"), listen(other, "phx_error"), joins(channel)];
  await rejoined.next();
  channel.push("crash");
  assert.deepEqual(await errors.next(), { reason: "channel_crash" });
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  assert.deepEqual(await answer(other.push("echo", { n: 2 })), ["ok", { n: 2 }]);
  assert.deepEqual([others.rest, socket.closed.rest], [[], []]);
}

export async function disconnected_client_comes_back(t) {
  const user_id = t.name;
  const [first, second, stranger] = [
    await t.connected({ params: { user_id } }),
    await t.connected({ params: { user_id } }),
    await t.connected({ params: { user_id: `${user_id}-stranger` } }),
  ];
  const channel = await joined(first, t.topic());
  const [errors, rejoined] = [listen(channel, "phx_error"), joins(channel)];
  await rejoined.next();
  channel.push("disconnect_me");
  for (const socket of [first, second]) {
    assert.equal((await socket.closed.next()).code, 1001);
    await socket.opened.next();
  }
  await rejoined.next();
  assert.deepEqual(await errors.next(), { source: "transport", reason: "connection_closed" });
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  await joined(stranger, t.topic("-stranger"));
  assert.deepEqual(stranger.closed.rest, []);
}

export async function heartbeats_keep_an_idle_connection(t) {
  // This mount closes a connection after 700 ms without a message: three times that long must pass. A busy machine can
  // delay a heartbeat by more than that, so one of three attempts is enough.
  const attempts = [];
  for (let attempt = 0; attempt < 3; attempt++) {
    const socket = await t.connected({ heartbeatIntervalMs: 300 }, "/short");
    const lost = socket.closed.next().then(({ code }) => `closed with ${code}`);
    const kept = sevenReplies(socket).then(() => "kept");
    // The one that comes second ends in its deadline, which nobody waits for.
    for (const late of [lost, kept]) late.catch(() => {});
    attempts.push(await Promise.race([lost, kept]));
    socket.disconnect();
    if (attempts.at(-1) === "kept") return;
  }
  assert.fail(`every connection was lost: ${attempts.join(", ")}`);
}

async function sevenReplies(socket) {
  for (let n = 0; n < 7; n++) {
    const { topic, event, payload } = await socket.messages.next();
    assert.deepEqual([topic, event, payload], ["phoenix", "phx_reply", { status: "ok", response: {} }]);
  }
}

export async function idle_connection_is_closed_and_comes_back(t) {
  const socket = await t.connected({}, "/short");
  assert.equal((await socket.closed.next()).code, 1002);
  await socket.opened.next();
}

export async function second_channel_of_one_topic_takes_over(t) {
  const socket = await t.connected();
  const first = await joined(socket, t.topic());
  const [closes, errors, missed] = [listen(first, "phx_close"), listen(first, "phx_error"), listen(first, "shout")];
  const second = await joined(socket, t.topic());
  await closes.next();
  const shouts = listen(second, "shout");
  second.push("shout", { n: 1 });
  assert.deepEqual(await shouts.next(), { n: 1 });
  assert.deepEqual(await answer(second.push("echo", {})), ["ok", {}]);
  assert.deepEqual([first.state, second.state], ["closed", "joined"]);
  assert.deepEqual([errors.rest, missed.rest, shouts.rest, closes.rest], [[], [], [], []]);
}

export async function unicode_arrives_unchanged(t) {
  const channel = await joined(await t.connected({ params: { user_id: "Zoë ☃" } }), t.topic(":é☃😀 \"\\/\u2028"), { "ключ": "値" });
  const payload = { "😀": "é☃😀\u0000\u2028\"\\/", empty: "", nested: { "ключ": ["値", "\ud83d\ude00"] } };
  const shouts = listen(channel, "shout");
  channel.push("shout", payload);
  assert.deepEqual(await shouts.next(), payload);
  assert.deepEqual(await answer(channel.push("echo", payload)), ["ok", payload]);
  const secrets = listen(channel, "secret");
  channel.push("tell_secret", payload);
  assert.deepEqual(await secrets.next(), { ...payload, for: "Zoë ☃" });
}

export async function channel_after_the_hundredth_is_refused(t) {
  const socket = await t.connected();
  const channels = await Promise.all(Array.from({ length: 100 }, (_, n) => joined(socket, t.topic(`-${n}`))));
  const late = socket.channel(t.topic("-late"));
  const rejoined = joins(late);
  assert.deepEqual(await answer(late.join()), ["error", { reason: "too many channels joined" }]);
  const replies = await Promise.all(channels.map((channel, n) => answer(channel.push("echo", { n }))));
  assert.deepEqual(replies, channels.map((_, n) => ["ok", { n }]));
  assert.deepEqual(await answer(channels[0].leave()), ["ok", {}]);
  await rejoined.next();
}

// The case has a server of its own, and ends it with the signal; the client must come back to its successor.
async function restarted(t, signal, check) {
  const server = await t.server();
  const socket = await t.connected({}, "/socket", server.url);
  const channel = await joined(socket, t.topic());
  const rejoined = joins(channel);
  await rejoined.next();
  await server.end(signal);
  check(await socket.closed.next());
  await socket.failed.next();
  await t.server(server.port);
  await socket.opened.next();
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
}

export async function killed_server_is_found_again(t) {
  await restarted(t, "SIGKILL", ({ code }) => assert.equal(code, 1006));
}

export async function stopped_server_is_found_again(t) {
  await restarted(t, "SIGTERM", ({ code }) => assert.equal(code, 1012));
}
