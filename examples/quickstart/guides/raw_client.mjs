const prices = new WebSocket("ws://localhost:8000/prices/websocket")
prices.onopen = () => prices.send("ACME")
prices.onmessage = ({ data }) => console.log(data)
