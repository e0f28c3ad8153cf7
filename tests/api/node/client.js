// A client in Node: uploads, submits, watches, is refused, asks for the health; one line of JSON.
//
//     node client.js PROTOS TARGET
//
// The token, if any, is in the environment.

const path = require("path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const [protos, target] = process.argv.slice(2);
const token = process.env.STRANGER_TOKEN;
const options = { includeDirs: [protos], keepCase: true, longs: Number, enums: String, oneofs: true };
const loaded = loader.loadSync("chronovisor/v1/supervisor.proto", options);
const { Supervisor } = grpc.loadPackageDefinition(loaded).chronovisor.v1;
const client = new Supervisor(target, grpc.credentials.createInsecure());

const metadata = new grpc.Metadata();
if (token) metadata.set("authorization", `Bearer ${token}`);

function call(method, request) {
  return new Promise((resolve, reject) => {
    const deadline = { deadline: Date.now() + 10_000 };
    const answered = (error, answer) => (error ? reject(error) : resolve(answer));
    client[method](request, metadata, deadline, answered);
  });
}

function upload(chunks) {
  return new Promise((resolve, reject) => {
    const stream = client.UploadArtifact(metadata, (error, stored) =>
      error ? reject(error) : resolve(stored),
    );
    for (const chunk of chunks) stream.write({ chunk: Buffer.from(chunk) });
    stream.end();
  });
}

async function watch(request) {
  const items = [];
  const stream = client.WatchEvents(request, metadata);
  stream.on("error", () => {}); // which is how it ends when it is cancelled
  for await (const message of stream) {
    items.push(message.item);
    if (message.item === "caught_up") break;
  }
  stream.cancel();
  return items;
}

async function refusal(method, request) {
  const error = await call(method, request).catch((error) => error);
  const [trailer] = error.metadata.get("grpc-status-details-bin");
  const root = new protobuf.Root();
  root.resolvePath = (_, name) => path.join(protos, name);
  root.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"]);
  const details = root.lookupType("google.rpc.Status").decode(trailer).details;
  const told = details.map((any) => {
    const name = any.type_url.split("/").pop();
    return [name, root.lookupType(name).decode(any.value).toJSON()];
  });
  return { code: grpc.status[error.code], details: Object.fromEntries(told) };
}

async function main() {
  const stored = await upload(["one", "two"]);
  const manifest = { name: "node", algorithm: { sha256: stored.sha256 } };
  const submission = { manifest, idempotency_key: "k", vm_id: "from-node" };
  const { vm } = await call("SubmitComputation", submission);
  const found = await call("GetVm", { vm_id: vm.vm_id });
  console.log(
    JSON.stringify({
      stored,
      phase: found.phase,
      watched: await watch({ vm_id: vm.vm_id }),
      refused: await refusal("ListVms", { page_size: 1001 }),
    }),
  );
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
