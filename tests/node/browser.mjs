// The clients, unmodified as npm has them, and what a browser has and Node has not, for those that need it.

import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";

import { since } from "./harness.mjs";

const { dependencies } = JSON.parse(readFileSync(new URL("package.json", import.meta.url)));

// The module of one version. From 1.8 on the client needs no browser: without an XMLHttpRequest it uses fetch.
export async function load(version) {
  if (!since(version, "1.8")) Object.assign(globalThis, { self: globalThis, window: globalThis, XMLHttpRequest });
  const [name] = Object.entries(dependencies).find(([, wanted]) => wanted === version || wanted === `npm:phoenix@${version}`);
  const module = await import(name);
  return module.default ?? module;
}

const agent = new Agent({ keepAlive: true });

// As much of it as the clients use. An end before the answer, an abort included, is a readystatechange too.
class XMLHttpRequest {
  #headers = {};
  #request;
  readyState = 0;
  responseText = "";
  timeout = 0;
  onreadystatechange = () => {};
  onerror = () => {};
  ontimeout = () => {};

  open(method, url) {
    this.method = method;
    this.url = url;
    this.readyState = 1;
  }

  setRequestHeader(name, value) {
    this.#headers[name] = value;
  }

  send(body) {
    const timer = this.timeout && setTimeout(() => this.#end(this.ontimeout), this.timeout);
    this.#request = request(this.url, { agent, method: this.method, headers: this.#headers }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => {
        if (this.readyState === 4) return;
        this.responseText = Buffer.concat(chunks).toString();
        this.readyState = 4;
        this.onreadystatechange();
      });
    });
    this.#request.on("error", () => this.#end(this.onerror));
    this.#request.on("close", () => clearTimeout(timer));
    this.#request.end(body ?? undefined);
  }

  abort() {
    if (this.#request) this.#end(() => {});
  }

  #end(callback) {
    if (this.readyState === 4) return;
    this.readyState = 4;
    this.#request.destroy();
    this.onreadystatechange();
    callback();
  }
}
