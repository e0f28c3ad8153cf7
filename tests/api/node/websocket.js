// Follows the events with Node's own WebSocket until one that is live; prints each message.
//     node --experimental-websocket websocket.js URL
const headers = { authorization: `Bearer ${process.env.STRANGER_TOKEN}` };
const socket = new WebSocket(process.argv[2], { protocols: ["cloudevents.json"], headers });
let live = false;

socket.onmessage = ({ data }) => {
  console.log(data);
  if (live) socket.close(1000);
  live = live || JSON.parse(data).type === "org.chronovisor.caught-up.v1";
};
socket.onerror = () => console.log(JSON.stringify({ refused: true }));
socket.onclose = ({ code }) => console.log(JSON.stringify({ closed: code, protocol: socket.protocol }));
