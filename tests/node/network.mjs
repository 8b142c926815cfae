// What is on the other end of the wire: applications in processes of their own, and a network that fails on demand.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

import { within } from "./harness.mjs";

export class Application {
  // The command is that of the application, the directory the one it runs in.
  static async start({ command, directory }, server, port = 0) {
    const [program, ...args] = [...command, "--server", server, "--port", String(port)];
    const child = spawn(program, args, { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
    const announced = once(createInterface(child.stdout), "line");
    const ended = once(child, "exit").then(([code]) => [`{"failed": "it ended with ${code}"}`]);
    const [line] = await within(`the application starts behind ${server}`, Promise.race([announced, ended]), 20_000);
    const { port: bound, failed } = JSON.parse(line);
    if (failed) throw new Error(`the application behind ${server} did not start: ${failed}`);
    return new Application(child, bound);
  }

  constructor(child, port) {
    this.child = child;
    this.port = port;
    this.url = `ws://127.0.0.1:${port}`;
  }

  async end(signal) {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, "exit");
    this.child.kill(signal);
    await within(`the application ends on ${signal}`, gone, 20_000);
  }
}

// What one case may ask for beside the application that all share; it all ends with the case.
export class World {
  resources = [];

  constructor(launch, server, { url, port }) {
    Object.assign(this, { launch, behind: server, url, port });
  }

  server = async (port) => this.#keep(await Application.start(this.launch, this.behind, port));
  proxy = async (options) => this.#keep(await Proxy.to(this.port, options));

  #keep(resource) {
    this.resources.push(resource);
    return resource;
  }

  async end() {
    await Promise.all(this.resources.map((resource) => resource.end("SIGKILL")));
  }
}

// Stands between a client and an application, counts their requests, and can lose what they say.
export class Proxy {
  #pairs = new Set();
  #waiting = [];
  #listener;
  requests = [];

  // `swallows`: the path of requests that are never answered. `mutes`: nothing is heard of a WebSocket once it is open.
  static async to(port, { swallows, mutes } = {}) {
    const proxy = Object.assign(new Proxy(), { swallows, mutes });
    proxy.#listener = createServer((client) => proxy.#join(client, connect(port, "127.0.0.1")));
    proxy.#listener.listen(0, "127.0.0.1");
    await once(proxy.#listener, "listening");
    proxy.url = `ws://127.0.0.1:${proxy.#listener.address().port}`;
    return proxy;
  }

  #join(client, upstream) {
    const pair = [client, upstream];
    this.#pairs.add(pair);
    client.on("data", (chunk) => this.#read(chunk, pair));
    upstream.once("data", (chunk) => {
      if (this.mutes && chunk.toString("latin1", 0, 12) === "HTTP/1.1 101") setImmediate(silence, pair);
    });
    for (const [from, to] of [pair, [upstream, client]]) {
      from.setNoDelay();
      from.pipe(to);
      from.on("error", () => {});
      from.on("close", () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }

  #read(chunk, pair) {
    const [, method, path] = /^([A-Z]+) (\S+) HTTP/.exec(chunk.toString("latin1", 0, 2000)) ?? [];
    if (!method) return;
    this.requests.push(`${method} ${path}`);
    if (this.swallows && path.includes(this.swallows)) silence(pair);
    const served = this.#waiting.filter((entry) => entry.method === method);
    this.#waiting = this.#waiting.filter((entry) => entry.method !== method);
    for (const { then, resolve } of served) resolve(then(pair));
  }

  #next(method, then) {
    return within(`a ${method} request`, new Promise((resolve) => this.#waiting.push({ method, then, resolve })));
  }

  // The next request with this method has come.
  seen(method) {
    return this.#next(method, () => {});
  }

  // The next request with this method has come, and its answer will not.
  loseNext(method) {
    return this.#next(method, silence);
  }

  // How many requests of this method there have been.
  count(method) {
    return this.requests.filter((request) => request.startsWith(method)).length;
  }

  // From now on nothing gets through on the connections there are, and nobody notices.
  freeze() {
    for (const pair of this.#pairs) silence(pair);
  }

  // Ends the connections there are; new ones are possible.
  cut() {
    for (const pair of this.#pairs) for (const end of pair) end.destroy();
  }

  end() {
    this.#listener.close();
    this.cut();
  }
}

function silence(pair) {
  for (const end of pair) end.unpipe().resume();
}
