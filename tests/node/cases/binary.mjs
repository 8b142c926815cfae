// Bytes instead of JSON.

import assert from "node:assert/strict";

import { answer, buffer, Events, hasMembers, joined, listen, numbers } from "../harness.mjs";

const ALL = [...Array(256).keys()];

export async function bytes_are_answered_with_bytes(t) {
  const channel = await joined(await t.connected(), t.topic());
  for (const sent of [ALL, [0], [0x5b, 0x22], []]) {
    const [status, response] = await answer(channel.push("bin", buffer(...sent)));
    assert.deepEqual([status, numbers(response)], ["ok", sent]);
  }
  const [status, response] = await answer(channel.push("bin_error", buffer(7)));
  assert.deepEqual([status, numbers(response)], ["error", [7]]);
  assert.deepEqual(await answer(channel.push("echo", { json: "too" })), ["ok", { json: "too" }]);
}

export async function bytes_are_pushed(t) {
  const channel = await joined(await t.connected(), t.topic());
  const pushed = listen(channel, "bin_pushed");
  channel.push("bin_push", buffer(...ALL));
  assert.deepEqual(numbers(await pushed.next()), ALL);
}

export async function bytes_are_broadcast(t) {
  const channels = [await joined(await t.connected(), t.topic()), await joined(await t.connected(), t.topic())];
  const [own, other] = channels.map((channel) => listen(channel, "bin_shout"));
  channels[0].push("bin_shout", buffer(...ALL));
  for (const events of [own, other]) assert.deepEqual(numbers(await events.next()), ALL);
  assert.deepEqual(await answer(channels[0].push("bin_shout_from", buffer(1, 2))), ["ok", {}]);
  assert.deepEqual(numbers(await other.next()), [1, 2]);
  assert.deepEqual(own.rest, []);
}

export async function join_may_be_answered_with_bytes(t) {
  const channel = (await t.connected()).channel(t.topic(), { bytes: ALL });
  const [status, response] = await answer(channel.join());
  assert.deepEqual([status, numbers(response)], ["ok", ALL]);
  assert.deepEqual(await answer(channel.push("echo", { n: 1 })), ["ok", { n: 1 }]);
}

export async function join_may_have_bytes_as_its_params(t) {
  const channel = await joined(await t.connected(), t.topic(), buffer(1, 2, 255));
  assert.deepEqual(await answer(channel.push("recall", {})), ["ok", { value: null, joined_with: [1, 2, 255] }]);
}

export async function megabyte_of_bytes_goes_there_and_back(t) {
  const channel = await joined(await t.connected(), t.topic());
  const sent = new Uint8Array(1_000_000).map((_, n) => n % 251);
  const [status, response] = await answer(channel.push("bin", sent.buffer));
  assert.equal(status, "ok");
  assert.ok(numbers(response).every((byte, n) => byte === n % 251));
  assert.equal(response.byteLength, sent.byteLength);
}

export async function bytes_where_json_is_expected_crash_the_channel_alone(t) {
  const socket = await t.connected();
  const [channel, witness] = [await joined(socket, t.topic()), await joined(socket, t.topic("-witness"))];
  const errors = new Events("the channel fails");
  channel.onError(errors.add);
  channel.push("new_event", buffer(1));
  assert.deepEqual(await errors.next(), { reason: "channel_crash" });
  assert.deepEqual(await answer(channel.push("echo", {})), ["ok", {}]);
  await hasMembers(witness, t.topic(), 1);
  assert.deepEqual(socket.closed.rest, []);
}

export async function bytes_travel_under_names_of_any_script(t) {
  const channel = await joined(await t.connected(), t.topic(":é☃😀"));
  const [status, response] = await answer(channel.push("écho 😀", buffer(1, 2, 3)));
  assert.deepEqual([status, numbers(response)], ["ok", [1, 2, 3]]);
  const shouts = listen(channel, "bin_shout");
  channel.push("bin_shout", buffer(4));
  assert.deepEqual(numbers(await shouts.next()), [4]);
}

// In version 1 there is no frame for bytes.
export async function client_of_version_1_gets_no_bytes_and_lives_on(t) {
  const old = await t.connected({
    vsn: "1.0.0",
    encode: (message, callback) => callback(JSON.stringify(message)),
    decode: (text, callback) => callback(JSON.parse(text)),
  });
  const [first, modern] = [await joined(old, t.topic()), await joined(await t.connected(), t.topic())];
  const [bytes, shouts] = [listen(modern, "bin_shout"), listen(first, "shout")];
  modern.push("bin_shout", buffer(1));
  assert.deepEqual(numbers(await bytes.next()), [1]);
  modern.push("shout", { n: 2 });
  assert.deepEqual(await shouts.next(), { n: 2 });
  assert.deepEqual(old.closed.rest, []);
}
