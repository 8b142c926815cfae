// Channels and their ends: left, stopped, crashed; and what they know afterwards.

import assert from "node:assert/strict";

import { answer, hasMembers, joined, joins, listen } from "../harness.mjs";

export async function leave_ends_the_channel_once(t) {
  const socket = await t.connected();
  const [channel, witness] = [await joined(socket, t.topic()), await joined(socket, t.topic("-witness"))];
  const [closes, errors] = [listen(channel, "phx_close"), listen(channel, "phx_error")];
  assert.deepEqual(await answer(channel.leave()), ["ok", {}]);
  await socket.messages.find(({ event }) => event === "phx_close");
  // The answer to a later push proves that nothing more came of it.
  assert.deepEqual(await answer(witness.push("echo", {})), ["ok", {}]);
  assert.deepEqual([channel.state, closes.rest.length, errors.rest], ["closed", 1, []]);
  const again = await joined(socket, t.topic());
  assert.deepEqual(await answer(again.push("echo", { back: 1 })), ["ok", { back: 1 }]);
}

export async function topic_may_be_left_and_joined_at_once(t) {
  const socket = await t.connected();
  let channel = await joined(socket, t.topic());
  for (let n = 0; n < 10; n++) {
    const left = answer(channel.leave());
    channel = socket.channel(t.topic());
    const entered = answer(channel.join());
    assert.deepEqual(await Promise.all([left, entered]), [["ok", {}], ["ok", {}]]);
    assert.deepEqual(await answer(channel.push("echo", { n })), ["ok", { n }]);
  }
  assert.equal(channel.state, "joined");
  await hasMembers(channel, t.topic(), 1);
}

export async function stopped_channel_stays_away(t) {
  const socket = await t.connected();
  const channel = await joined(socket, t.topic());
  const [closes, errors, rejoined] = [listen(channel, "phx_close"), listen(channel, "phx_error"), joins(channel)];
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("stop_reply", { bye: 1 })), ["ok", { bye: 1 }]);
  await closes.next();
  const witness = await joined(socket, t.topic("-witness"));
  await hasMembers(witness, t.topic(), 0);
  assert.deepEqual([channel.state, errors.rest, rejoined.rest], ["closed", [], []]);
}

export async function channel_stopped_by_an_error_rejoins(t) {
  const socket = await t.connected();
  const channel = await joined(socket, t.topic());
  const [closes, errors, rejoined] = [listen(channel, "phx_close"), listen(channel, "phx_error"), joins(channel)];
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("stop_with_an_error", {})), ["ok", {}]);
  await errors.next();
  await rejoined.next();
  assert.deepEqual([channel.state, closes.rest], ["joined", []]);
}

export async function crashed_channel_rejoins(t) {
  const socket = await t.connected();
  const [channel, other] = [await joined(socket, t.topic()), await joined(socket, t.topic("-other"))];
  const [errors, others, rejoined] = [listen(channel, "phx_error"), listen(other, "phx_error"), joins(channel)];
  await rejoined.next();
  channel.push("crash", {});
  assert.deepEqual(await errors.next(), { reason: "channel_crash" });
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  assert.deepEqual(await answer(other.push("echo", { n: 2 })), ["ok", { n: 2 }]);
  assert.deepEqual([others.rest, socket.closed.rest], [[], []]);
}

export async function crash_forgets_what_the_channel_knew(t) {
  const socket = await t.connected();
  let count = 0;
  const channel = await joined(socket, t.topic(), () => ({ join: ++count }));
  const [errors, shouts] = [listen(channel, "phx_error"), listen(channel, "shout")];
  assert.deepEqual(await answer(channel.push("remember", { secret: 1 })), ["ok", {}]);
  assert.deepEqual(await answer(channel.push("recall", {})), ["ok", { value: { secret: 1 }, joined_with: { join: 1 } }]);
  for (let n = 2; n < 5; n++) {
    assert.deepEqual(await answer(channel.push("crash", {}, 40)), ["timeout", {}]);
    await errors.next();
    // Waits in the client until the channel has been joined again.
    const early = answer(channel.push("recall", {}));
    assert.deepEqual(await early, ["ok", { value: null, joined_with: { join: n } }]);
  }
  channel.push("shout", { once: 1 });
  assert.deepEqual(await shouts.next(), { once: 1 });
  await hasMembers(channel, t.topic(), 1);
  assert.deepEqual(shouts.rest, []);
}

export async function tabs_of_one_user_see_the_same(t) {
  const user_id = t.name;
  const [one, two] = [await t.connected({ params: { user_id } }), await t.connected({ params: { user_id } })];
  const topic = `notifications:${user_id}`;
  const [first, second] = [await joined(one, topic), await joined(two, topic)];
  const [firsts, seconds] = [first, second].map((channel) => listen(channel, "new_notification"));
  first.push("new_notification", { body: "hi" });
  assert.deepEqual([await firsts.next(), await seconds.next()], [{ body: "hi" }, { body: "hi" }]);
  assert.deepEqual(await answer(first.leave()), ["ok", {}]);
  second.push("new_notification", { body: "alone" });
  assert.deepEqual(await seconds.next(), { body: "alone" });
  await new Promise((resolve) => one.disconnect(resolve));
  second.push("new_notification", { body: "still here" });
  assert.deepEqual(await seconds.next(), { body: "still here" });
  assert.deepEqual([firsts.rest, two.closed.rest], [[], []]);
}
