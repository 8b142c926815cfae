// What the cases share: sockets that are closed and logged for them, and waiting for events with a deadline.

import { Socket } from "phoenix";
import WebSocket from "ws";

const DEADLINE_MS = 8000;

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

  // Those that nobody has taken.
  get rest() {
    return [...this.#arrived];
  }
}

// One case: its own topics, its sockets, and a log of what they saw, printed when the case fails.
export class Case {
  #sockets = [];
  #started = performance.now();
  log = [];

  constructor(name, url) {
    this.name = name;
    this.url = url;
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
    const socket = new Socket(url + path, {
      transport: WebSocket,
      reconnectAfterMs: () => 20,
      rejoinAfterMs: () => 20,
      logger: (kind, message, data) => this.note(`${name} ${kind}: ${message} ${describe(data)}`),
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

  end() {
    for (const socket of this.#sockets) socket.disconnect();
  }
}

function describe(data) {
  if (data === undefined) return "";
  if (data?.message) return data.message;
  if (data?.code) return `code ${data.code} ${data.reason}`;
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
