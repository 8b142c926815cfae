import { LongPoll, Socket } from "phoenix"

// The WebSocket first; what is not connected after 2.5 seconds is given up for long polling.
const socket = new Socket("ws://localhost:8000/socket", { longPollFallbackMs: 2500 })

// Long polling and nothing else.
const polled = new Socket("ws://localhost:8000/polled", { transport: LongPoll })

for (const each of [socket, polled]) {
  each.connect()
  each.channel("room:lobby").join().receive("ok", () => console.log("joined"))
}
