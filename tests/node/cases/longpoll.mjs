// What only long polling has: sessions, batches of messages, and polls that wait.

import assert from "node:assert/strict";

import { answer, buffer, hasMembers, joined, joins, listen } from "../harness.mjs";

export async function poll_that_nothing_answers_is_repeated(t) {
  const proxy = await t.proxy();
  const socket = await t.connected({}, "/short", proxy.url);
  const channel = await joined(socket, t.topic());
  const shouts = listen(channel, "shout");
  // Its window is over twice.
  for (let n = 0; n < 2; n++) await proxy.seen("GET");
  channel.push("shout", { late: true });
  assert.deepEqual(await shouts.next(), { late: true });
  assert.deepEqual(socket.closed.rest, []);
}

export async function pushes_of_one_turn_share_a_request(t) {
  const proxy = await t.proxy();
  const socket = await t.connected({}, "/socket", proxy.url);
  const channel = await joined(socket, t.topic());
  const before = await proxy.count("POST");
  const order = [];
  await Promise.all(Array.from({ length: 90 }, (_, n) => answer(channel.push("echo", { n })).then(() => order.push(n))));
  assert.deepEqual(order, [...Array(90).keys()]);
  assert.equal((await proxy.count("POST")) - before, 1);
}

export async function more_than_a_hundred_pushes_take_several_requests(t) {
  const proxy = await t.proxy();
  const socket = await t.connected({}, "/socket", proxy.url);
  const channel = await joined(socket, t.topic());
  const before = await proxy.count("POST");
  const order = [];
  const first = Array.from({ length: 250 }, (_, n) => answer(channel.push("echo", { n })).then(() => order.push(n)));
  await Promise.all(first);
  assert.deepEqual(order, [...Array(250).keys()]);
  assert.equal((await proxy.count("POST")) - before, 3);
}

export async function pushes_wait_for_a_request_under_way(t) {
  const channel = await joined(await t.connected(), t.topic());
  const order = [];
  const pushes = [];
  for (let turn = 0; turn < 20; turn++) {
    for (let n = 0; n < 5; n++) pushes.push(answer(channel.push("echo", { n: turn * 5 + n })).then(([, { n }]) => order.push(n)));
    await new Promise((resolve) => setTimeout(resolve));
  }
  await Promise.all(pushes);
  assert.deepEqual(order, [...Array(100).keys()]);
}

export async function every_push_may_be_a_request_of_its_own(t) {
  const channel = await joined(await t.connected(), t.topic());
  const replies = await Promise.all(Array.from({ length: 40 }, (_, n) => answer(channel.push("echo", { n }))));
  assert.deepEqual(replies, Array.from({ length: 40 }, (_, n) => ["ok", { n }]));
}

export async function bytes_are_taken_among_text(t) {
  const channel = await joined(await t.connected(), t.topic());
  const all = [...Array(256).keys()];
  const replies = await Promise.all([
    answer(channel.push("echo", { n: 1 })),
    answer(channel.push("numbers", buffer(...all))),
    answer(channel.push("numbers", buffer(0x5b))),
    answer(channel.push("numbers", buffer())),
    answer(channel.push("echo", { n: 2 })),
  ]);
  assert.deepEqual(replies, [["ok", { n: 1 }], ["ok", all], ["ok", [0x5b]], ["ok", []], ["ok", { n: 2 }]]);
}

// Long polling has no frame for bytes to the client.
export async function broadcast_of_bytes_passes_a_poller_by(t) {
  const poller = await t.connected();
  const channel = await joined(poller, t.topic());
  const shouts = listen(channel, "shout");
  const other = await t.connected({ transport: t.WebSocket });
  const modern = await joined(other, t.topic());
  const bytes = listen(modern, "bin_shout");
  modern.push("bin_shout", buffer(1));
  await bytes.next();
  modern.push("shout", { n: 2 });
  assert.deepEqual(await shouts.next(), { n: 2 });
  assert.deepEqual(await answer(channel.push("echo", {})), ["ok", {}]);
  assert.deepEqual(poller.closed.rest, []);
}

export async function pollers_and_websockets_meet_in_one_room(t) {
  const sockets = [await t.connected(), await t.connected({ transport: t.WebSocket }), await t.connected()];
  const channels = await Promise.all(sockets.map((socket) => joined(socket, t.topic())));
  const shouts = channels.map((channel) => listen(channel, "shout"));
  for (const [n, channel] of channels.entries()) {
    channel.push("shout", { n });
    for (const events of shouts) assert.deepEqual(await events.next(), { n });
  }
}

export async function many_poll_side_by_side(t) {
  const channels = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => joined(await t.connected({ params: { user_id: `${n}` } }), t.topic())),
  );
  const shouts = channels.map((channel) => listen(channel, "shout"));
  for (const [n, channel] of channels.entries()) channel.push("shout", { n });
  for (const events of shouts) {
    const seen = [];
    for (let n = 0; n < 20; n++) seen.push((await events.next()).n);
    assert.deepEqual(seen.sort((a, b) => a - b), [...Array(20).keys()]);
  }
}

export async function poll_that_fails_ends_in_a_new_session(t) {
  const proxy = await t.proxy();
  const socket = await t.connected({}, "/short", proxy.url);
  const channel = await joined(socket, t.topic());
  const [errors, rejoined] = [listen(channel, "phx_error"), joins(channel)];
  await rejoined.next();
  await proxy.seen("GET");
  await proxy.cut();
  t.assertClosedWith(await socket.closed.next(), { longpoll: 1011 });
  await errors.next();
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
  // The session that nobody polls any more ends, and its channels with it (P-102).
  await hasMembers(channel, t.topic(), 1);
}

export async function poll_without_an_answer_ends_in_a_new_session(t) {
  const proxy = await t.proxy();
  const socket = await t.connected({ longpollerTimeout: 4000 }, "/short", proxy.url);
  const channel = await joined(socket, t.topic());
  const rejoined = joins(channel);
  await rejoined.next();
  await proxy.loseNext("GET");
  await socket.closed.next();
  await rejoined.next();
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
}

// Before 1.8.2 the client goes on with a new session as if nothing had happened: its channels are unknown there.
export async function session_that_is_gone_is_continued_by_another(t) {
  const socket = await t.connected({ params: { user_id: t.name } }, "/short");
  const channel = await joined(socket, t.topic());
  channel.push("disconnect_me", {});
  await socket.opened.next();
  assert.deepEqual(await answer(channel.push("echo", {})), ["error", { reason: "unmatched topic" }]);
  assert.deepEqual(socket.closed.rest, []);
  const again = await joined(socket, t.topic("-again"));
  assert.deepEqual(await answer(again.push("echo", { n: 1 })), ["ok", { n: 1 }]);
}
