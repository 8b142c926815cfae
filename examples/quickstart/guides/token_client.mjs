import { Socket } from "phoenix"

const socket = new Socket("ws://localhost:8000/socket", {
  // A function is asked again for every connection.
  authToken: () => process.env.TOKEN,
})
socket.onOpen(() => console.log("connected"))
socket.onError(() => console.log("refused"))
socket.connect()
