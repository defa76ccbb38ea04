// Runs graph-models in TensorFlow.js, on its CPU backend, and writes what their softmax reads and makes of the picture of
// weights/testdata/formats/golden.json into tfjs-graph/answers.json.
// usage: NODE_PATH=CACHE/node_modules node scripts/run_tfjs.js    (npm install --prefix CACHE @tensorflow/tfjs@4.22.0)
const fs = require('fs');
const path = require('path');
const tf = require('@tensorflow/tfjs');

async function main() {
  const formats = path.join(__dirname, '../weights/testdata/formats');
  const picture = JSON.parse(fs.readFileSync(path.join(formats, 'golden.json'))).picture;
  const answers = {};
  for (const how of ['float32', 'float16', 'uint16', 'uint8']) {
    const folder = path.join(formats, 'tfjs-graph');
    const model = JSON.parse(fs.readFileSync(path.join(folder, how + '.json')));
    const group = model.weightsManifest[0];
    const data = Buffer.concat(group.paths.map(p => fs.readFileSync(path.join(folder, p))));
    const graph = await tf.loadGraphModel({ load: async () => ({ modelTopology: model.modelTopology, signature: model.signature,
      weightSpecs: group.weights, weightData: new Uint8Array(data).buffer }) });
    const input = tf.tensor(picture, [1, 3, 9, 9]).transpose([0, 2, 3, 1]);
    answers[how] = { logits: Array.from(graph.execute(input, 'logits').dataSync()), probabilities: Array.from(graph.predict(input).dataSync()) };
  }
  fs.writeFileSync(path.join(formats, 'tfjs-graph/answers.json'), JSON.stringify(answers, null, 1) + '\n');
}

main();
