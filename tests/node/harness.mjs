// What the cases share: sockets that are closed and logged for them, and waiting for events with a deadline.

// Long enough for a machine that has other things to do.
const DEADLINE_MS = 20_000;

// The promise, or an error that says what did not happen in time.
export function within(what, promise, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Events in order of arrival; next() waits for one that has not been taken yet.
export class Events {
  #arrived = [];
  #waiting = [];

  constructor(what) {
    this.what = what;
  }

  add = (event) => {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(event);
    else this.#arrived.push(event);
  };

  next() {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift());
    return within(this.what, new Promise((resolve) => this.#waiting.push(resolve)));
  }

  // The first that fits; those before it are taken.
  async find(fits) {
    for (;;) {
      const event = await this.next();
      if (fits(event)) return event;
    }
  }

  // Those that nobody has taken.
  get rest() {
    return [...this.#arrived];
  }
}

// One case: its own names, its sockets, and a log of what they saw, printed when the case fails.
//
// The client is { name, version, transport, Socket, LongPoll, Presence, WebSocket, sessionStorage }; the world is
// { url, server(port), proxy(options) }: where the application is, and how to have another one, or a network that fails.
export class Case {
  #sockets = [];
  #started = performance.now();
  log = [];

  constructor(name, client, world) {
    Object.assign(this, client, world);
    this.name = `${client.name}-${name}`;
    this.longpoll = client.transport === "longpoll";
    // Where a poll of a session that has ended does not wait for long.
    this.brief = this.longpoll ? "/short" : "/socket";
  }

  since(version) {
    return since(this.version, version);
  }

  topic(suffix = "") {
    return `room:${this.name}${suffix}`;
  }

  note(text) {
    this.log.push(`${(performance.now() - this.#started).toFixed(0).padStart(6)} ms  ${text}`);
  }

  // A socket with what happens to it as Events; waits of the client are short, unless options say otherwise.
  socket(options = {}, path = "/socket", url = this.url) {
    const name = `socket ${this.#sockets.length + 1}`;
    const socket = new this.Socket(url + path, {
      timeout: DEADLINE_MS,
      transport: this.longpoll ? this.LongPoll : this.WebSocket,
      reconnectAfterMs: () => 20,
      rejoinAfterMs: () => 20,
      logger: (kind, message, data) => this.note(`${name} ${kind}: ${describe(message)} ${describe(data)}`),
      ...options,
    });
    socket.opened = new Events(`${name} opens`);
    socket.closed = new Events(`${name} closes`);
    socket.failed = new Events(`${name} fails to connect`);
    socket.messages = new Events(`${name} receives a message`);
    socket.onOpen(() => socket.opened.add());
    socket.onClose(socket.closed.add);
    socket.onError(socket.failed.add);
    socket.onMessage(socket.messages.add);
    this.#sockets.push(socket);
    return socket;
  }

  async connected(options, path, url) {
    const socket = this.socket(options, path, url);
    socket.connect();
    await socket.opened.next();
    return socket;
  }

  // Waits until the server has refused this socket once more. A WebSocket knows the status only in Node. Of a poll it is
  // known since 1.6; until 1.8 the client also aborts polls of its own, which it takes for errors (500).
  async refusal(socket) {
    if (!this.longpoll) {
      const { message } = await socket.failed.next();
      if (message && !/403/.test(message)) throw new Error(`not refused: ${message}`);
    } else await socket.failed.find((error) => error === (this.since("1.6") ? 403 : undefined));
  }

  // The code of a close event; long polling has one since 1.6.
  assertClosedWith(event, { websocket, longpoll }) {
    if (this.longpoll && !this.since("1.6")) return;
    const expected = this.longpoll ? longpoll : websocket;
    if (event.code !== expected) throw new Error(`closed with ${event.code}, not with ${expected}`);
  }

  end() {
    for (const socket of this.#sockets) socket.disconnect();
  }
}

// Whether a version is another one or newer.
export function since(version, other) {
  return version.localeCompare(other, "en", { numeric: true }) >= 0;
}

// Runs one of the cases; the result says what became of it.
export async function attempt(cases, name, client, world) {
  const started = performance.now();
  const t = new Case(name, client, world);
  const result = { target: client.name, name, ok: true };
  try {
    if (!(name in cases)) throw new Error("there is no such case");
    await cases[name](t);
  } catch (error) {
    Object.assign(result, { ok: false, error: error.stack ?? String(error), log: t.log });
  } finally {
    t.end();
  }
  return { ...result, ms: Math.round(performance.now() - started) };
}

function describe(data) {
  if (data === undefined || typeof data === "string") return data ?? "";
  if (data?.message) return data.message;
  if (data?.code) return `code ${data.code} ${data.reason}`;
  if (data instanceof ArrayBuffer) return `${data.byteLength} bytes`;
  try {
    return JSON.stringify(data).slice(0, 300);
  } catch {
    return String(data);
  }
}

// The channel's events of one name.
export function listen(channel, event) {
  const events = new Events(`${event} on ${channel.topic}`);
  channel.on(event, events.add);
  return events;
}

// What became of a push, or of a join: [status, response].
export function answer(push) {
  const what = `an answer to ${push.event} on ${push.channel.topic}`;
  return within(
    what,
    new Promise((resolve) => {
      for (const status of ["ok", "error", "timeout"]) push.receive(status, (response) => resolve([status, response]));
    }),
  );
}

// A channel that has joined.
export async function joined(socket, topic, params) {
  const channel = socket.channel(topic, params);
  const [status, response] = await answer(channel.join());
  if (status !== "ok") throw new Error(`${topic} was not joined: ${status} ${JSON.stringify(response)}`);
  return channel;
}

// How often the channel has been joined: every further join is a rejoin of the client's own.
export function joins(channel) {
  const events = new Events(`${channel.topic} is joined`);
  channel.joinPush.receive("ok", events.add);
  return events;
}

// Waits until the server has this many members of a topic: one that is about to leave still is one.
export async function hasMembers(witness, topic, count) {
  const [status] = await answer(witness.push("has_members", { topic, count }, DEADLINE_MS));
  if (status !== "ok") throw new Error(`${topic} does not have ${count} members`);
}

// Bytes for a push, and the bytes of what has arrived.
export function buffer(...numbers) {
  return new Uint8Array(numbers).buffer;
}

export function numbers(data) {
  if (!(data instanceof ArrayBuffer)) throw new Error(`bytes were expected, not ${JSON.stringify(data)}`);
  return [...new Uint8Array(data)];
}

// Does something with every item, with so many of them at a time.
export async function inParallel(width, items, work) {
  const waiting = [...items];
  async function next() {
    while (waiting.length > 0) await work(waiting.shift());
  }
  await Promise.all(Array.from({ length: width }, next));
}
