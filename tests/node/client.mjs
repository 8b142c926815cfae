// Puts every script (JSON on stdin) to phoenix.js, with a transport and a clock of our own, and prints for each of its
// steps what was sent and what was told (JSON).  client_scripts.py says what the steps are.

import {Socket} from "phoenix"
import {readFileSync} from "node:fs"

let now, timers, lastTimer, frames, told, transport

globalThis.setTimeout = (callback, milliseconds) => {
  timers.set(++lastTimer, {at: now + milliseconds, callback})
  return lastTimer
}
globalThis.clearTimeout = timer => timers.delete(timer)

class Transport {
  constructor() {
    this.readyState = 0
    transport = this
    told.push(["transport"])
  }
  send(data) {
    frames.push(JSON.parse(data))
  }
  close(code = 1000) {
    this.end(code)
  }
  end(code) {
    if (this.readyState === 3) return
    this.readyState = 3
    this.onclose({code})
  }
}

function run(script) {
  now = 0
  timers = new Map()
  lastTimer = 0
  frames = []
  told = []
  const socket = new Socket("ws://test/socket", {transport: Transport})
  const channels = []
  let pushes = 0

  const does = {
    connect: () => socket.connect(),
    disconnect: () => socket.disconnect(),
    open: () => {
      transport.readyState = 1
      transport.onopen()
    },
    fail: () => {
      transport.onerror({})
      transport.end(1006)
    },
    close: code => transport.end(code),
    join: (topic, timeout) => {
      const number = channels.length
      const channel = socket.channel(topic)
      channels.push(channel)
      channel.onError(() => told.push(["errored", number]))
      channel.onClose(() => told.push(["closed", number]))
      channel.on("news", payload => told.push(["news", number, payload.n]))
      channel
        .join(timeout)
        .receive("ok", () => told.push(["joined", number]))
        .receive("error", () => told.push(["refused", number]))
        .receive("timeout", () => told.push(["timed out", number]))
    },
    push: (channel, timeout) => {
      const number = pushes++
      const push = channels[channel].push("shout", {n: number}, timeout)
      for (const status of ["ok", "error"]) push.receive(status, () => told.push(["reply", number, status]))
    },
    leave: channel => channels[channel].leave(),
    hear: (joinRef, ref, topic, event, payload) => {
      const message = [frames[joinRef]?.[0] ?? null, frames[ref]?.[1] ?? null]
      transport.onmessage({data: JSON.stringify([...message, topic, event, payload])})
    },
    wait: milliseconds => {
      const end = now + milliseconds
      for (;;) {
        const due = [...timers].filter(([, timer]) => timer.at <= end).sort(([, a], [, b]) => a.at - b.at)
        if (due.length === 0) break
        const [id, timer] = due[0]
        timers.delete(id)
        now = timer.at
        timer.callback()
      }
      now = end
    },
  }
  return script.map(([step, ...args]) => {
    const before = frames.length
    told = []
    does[step](...args)
    return {frames: frames.slice(before), told}
  })
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(run)))
