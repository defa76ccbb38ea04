// Times VGG-16 forward in ONNX Runtime. usage: NODE_PATH=CACHE/node_modules node ort_bench.js MODEL BATCH STEPS BURN_IN THREADS
const fs = require('fs');
const ort = require('onnxruntime-node');

// peakBytes is the most resident memory the process had (proc(5)); 0 where the system does not tell.
function peakBytes() {
  try {
    return Number(/VmHWM:\s*(\d+) kB/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  } catch {
    return 0;
  }
}

async function main() {
  const model = process.argv[2];
  const [batch, steps, burnIn, threads] = process.argv.slice(3).map(Number);
  const session = await ort.InferenceSession.create(model, { intraOpNumThreads: threads, graphOptimizationLevel: 'all' });
  const noise = Float32Array.from({ length: batch * 3 * 224 * 224 }, () => (Math.random() - 0.5) * 0.35); // deviation 0.1, as vggo's
  const feeds = { [session.inputNames[0]]: new ort.Tensor('float32', noise, [batch, 3, 224, 224]) };
  const seconds = [];
  for (let i = 0; i < burnIn + steps; i++) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    if (i >= burnIn) seconds.push(Number(process.hrtime.bigint() - start) / 1e9);
  }
  const versions = { onnxruntime: ort.env.versions.node, node: process.versions.node };
  console.log(JSON.stringify({ versions, seconds, peak_bytes: peakBytes() }));
}

main();
