import { Socket } from "phoenix"

const socket = new Socket("ws://localhost:8000/socket", { reconnectAfterMs: () => 10, rejoinAfterMs: () => 10 })
socket.onClose(({ code }) => console.log("closed with", code))
socket.connect()

const lobby = socket.channel("room:lobby", { as: "ann" })
lobby.on("news", ({ body }) => console.log("news:", body))
lobby.onError(() => console.log("errored"))
lobby.join()
  .receive("ok", () => console.log("joined"))
  .receive("error", ({ reason }) => console.log("refused:", reason))
