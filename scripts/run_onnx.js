// Runs ONNX models in ONNX Runtime. usage: NODE_PATH=CACHE/node_modules node run_onnx.js < JOBS
// JOBS is JSON: [{model, input, dims}], input a file of float32. Writes [[float, ...], ...], the first output of each.
const fs = require('fs');
const ort = require('onnxruntime-node');

async function main() {
  const outputs = [];
  for (const job of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    const session = await ort.InferenceSession.create(job.model, { intraOpNumThreads: 1, logSeverityLevel: 3 });
    const bytes = fs.readFileSync(job.input);
    const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const results = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', data, job.dims) });
    outputs.push(Array.from(results[session.outputNames[0]].data));
  }
  console.log(JSON.stringify(outputs));
}

main();
