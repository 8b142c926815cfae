// Joins: answers, refusals, patience, and several channels of one topic.

import assert from "node:assert/strict";

import { answer, hasMembers, joined, joins, listen } from "../harness.mjs";

export async function join_is_answered(t) {
  const socket = await t.connected({ params: { user_id: "21" } });
  assert.deepEqual(await answer(socket.channel("notifications:21").join()), ["ok", "Joined Notification:21"]);
  assert.deepEqual(await answer(socket.channel(t.topic()).join()), ["ok", {}]);
}

export async function join_may_be_answered_with_any_term(t) {
  const socket = await t.connected();
  for (const [n, term] of ["", "text", 0, 2.5, [], [1, [{}]], { deep: { er: null } }].entries()) {
    const channel = socket.channel(t.topic(`-${n}`), { answer: term });
    assert.deepEqual(await answer(channel.join()), ["ok", term]);
  }
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

export async function refused_join_succeeds_with_better_params(t) {
  const socket = await t.connected();
  const params = [{ refuse: "not yet" }, { refuse: { code: 2 } }, { good: true }];
  const channel = socket.channel(t.topic(), () => params.shift());
  const replies = listen(channel, "phx_reply");
  channel.join();
  const early = answer(channel.push("recall", {}));
  const statuses = [];
  for (let n = 0; n < 3; n++) statuses.push(await replies.next());
  assert.deepEqual(statuses, [
    { status: "error", response: "not yet" },
    { status: "error", response: { code: 2 } },
    { status: "ok", response: {} },
  ]);
  assert.deepEqual(await early, ["ok", { value: null, joined_with: { good: true } }]);
}

export async function join_that_timed_out_is_left_and_tried_again(t) {
  const socket = await t.connected();
  const witness = await joined(socket, t.topic("-witness"));
  const channel = socket.channel(t.topic(), { gate: t.name });
  const [closes, errors, rejoined] = [listen(channel, "phx_close"), listen(channel, "phx_error"), joins(channel)];
  assert.deepEqual(await answer(channel.join(1000)), ["timeout", {}]);
  const late = answer(channel.push("echo", { after: "all" }, 20_000));
  await answer(witness.push("open_gate", { name: t.name }));
  await rejoined.next();
  assert.deepEqual(await late, ["ok", { after: "all" }]);
  // What was joined too late has been left, and neither its answer nor its end is taken for those of its successor.
  await hasMembers(witness, t.topic(), 1);
  assert.deepEqual([channel.state, closes.rest, errors.rest], ["joined", [], []]);
}

export async function channel_that_is_left_while_it_joins_is_gone(t) {
  const socket = await t.connected();
  const witness = await joined(socket, t.topic("-witness"));
  const channel = socket.channel(t.topic(), { gate: t.name });
  channel.join();
  channel.leave();
  assert.equal(channel.state, "closed");
  await answer(witness.push("open_gate", { name: t.name }));
  const again = await joined(socket, t.topic());
  await hasMembers(witness, t.topic(), 1);
  assert.deepEqual(await answer(again.push("echo", {})), ["ok", {}]);
}

export async function pushes_wait_for_a_slow_join(t) {
  const socket = await t.connected();
  const slow = socket.channel(t.topic("-slow"), { gate: t.name });
  const order = [];
  slow.join().receive("ok", () => order.push("join"));
  const pushes = [1, 2].map((n) => answer(slow.push("echo", { n })).then(() => order.push(n)));
  const other = await joined(socket, t.topic());
  await answer(other.push("open_gate", { name: t.name }));
  await Promise.all(pushes);
  assert.deepEqual(order, ["join", 1, 2]);
}

export async function push_that_timed_out_before_the_join_is_never_sent(t) {
  const socket = await t.connected();
  const witness = await joined(socket, t.topic("-witness"));
  const channel = socket.channel(t.topic(), { gate: t.name });
  const join = answer(channel.join());
  assert.deepEqual(await answer(channel.push("remember", "too late", 30)), ["timeout", {}]);
  await answer(witness.push("open_gate", { name: t.name }));
  await join;
  assert.deepEqual((await answer(channel.push("recall", {})))[1].value, null);
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
  await hasMembers(second, t.topic(), 1);
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
