import { Socket } from "phoenix"

const socket = new Socket("ws://localhost:8000/socket")
socket.connect()

const room = socket.channel("room:lobby")
room.on("new_message", ({ body }) => console.log(body))
room.join()
  .receive("ok", () => room.push("new_message", { body: "Hello from phoenix.js" }))
  .receive("error", ({ reason }) => console.error("refused:", reason))
