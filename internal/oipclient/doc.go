// Package oipclient is a strict client of the Open Inference Protocol, version 2, over HTTP (Client), and a run of checks that
// tells where a server departs from it (Check). It was written from the published texts alone, without a look at this module's
// server, so that the two agree only where both agree with the specification. For that reason it imports nothing of this module.
//
//	for _, f := range oipclient.Check(ctx, oipclient.New(url, nil), "vgg16", sample) {
//		if f.Err != nil {
//			t.Error(f) // what was tried, what came back, and the section that says otherwise
//		}
//	}
//
// # Sources
//
//   - OIP: kserve/open-inference-protocol, specification/protocol/inference_rest.md at commit 7ef512b1f171 and
//     open_inference_rest.yaml at commit 18d5991e9e45 (the YAML says version 2.0 of the API; the text has no version).
//   - KServe: kserve/kserve, docs/predict-api/v2/required_api.md at commit 3dc5bfb4a5d8: the older text of the same protocol, which
//     keeps what OIP lost: the meaning of the health endpoints' status codes, and that all strings are case-sensitive.
//   - Binary: triton-inference-server/server, docs/protocol/extension_binary_data.md at commit 6306a13d812a (2022), which KServe
//     took over in kserve/website, docs/modelserving/data_plane/binary_tensor_data_extension.md at commit 95709dc4bb45.
//   - Classification: triton-inference-server/server, docs/protocol/extension_classification.md at commit 5e42520c9d33 (2020).
//   - RFC 9110 (HTTP semantics) and RFC 8259 (JSON), which these build on.
//
// The commits are those of the copies read; their dates are not known where none is given.
//
// # Where they are silent or contradict themselves
//
// What is decided here, so that a server's author can disagree with a line and not with the whole:
//
//   - Health. KServe: the status code alone is the answer, 200 or 4xx, and the body should be empty. OIP describes a JSON body and no
//     status; its object for server ready has the member "live", surely for "ready". Accepted are 200 and 4xx with an empty
//     body or a JSON object; the object's boolean must say what the status says, ready may be called "live", and a
//     4xx may carry the error object instead. A 5xx is refused.
//   - Server metadata is at v2 in the texts and at /v2/ in the YAML: asked for at /v2, and a redirect is not followed.
//   - Inputs and outputs of a model's metadata are required in the texts and not in the YAML: required.
//   - Platform: the texts allow seven names and say that the name informs only. Any name of their form <project>_<format> is accepted.
//   - "model_name" is required by the schemas and missing in every example: required. It must be the name that was asked for.
//   - "id" is listed without #optional, as the one given "if any": the one that was given, else absent or empty.
//   - Members that no schema lists are refused, since the protocol extends itself through parameters; so are members named
//     twice, about which RFC 8259 leaves all open, and null. The Binary examples' requests have a "model_name" that no schema has: not sent.
//   - Content-Type appears in examples only: application/json, or application/octet-stream where binary data follows.
//   - Content-Length: Binary says that it "continues" to tell the whole length, so a response with binary data must have it.
//   - Inference-Header-Content-Length without binary data: accepted if it is the length of the body.
//   - A dimension is an integer written as one: 3, not 3.0. In requests and responses it is not negative.
//   - JSON data has the JSON type of its datatype: a server may coerce what it takes, by Tensor Data, but nobody may coerce what
//     it gives. Integers are written without point and exponent.
//   - FP16 and BF16 in JSON are "problematic" (Tensor Data): refused, as KServe's own client does. BF16 is in KServe's table of types
//     and not in OIP's: known. NaN and infinity have no JSON: not sent.
//   - BYTES in JSON: nothing is said of bytes that are not text, so an element is the UTF-8 of its string.
//   - Nested data must have the shape; so the OIP example of [3] BOOL with data [true] is taken for a slip, like the binary sizes in
//     KServe's examples (16 bytes for 2x2 FP16, 32 for 2x2 FP32), which are twice what the datatypes' table says.
//   - Outputs come in any order: only their binary data is said to follow it. No output may come twice or unasked.
//   - Failures are "an HTTP error status (typically 400)". Triton answers 404 and others too. Check wants any 4xx for a request
//     that is wrong in itself, since RFC 9110, section 15.6, keeps 5xx for the server's own faults.
//   - A raw binary request (Binary, length 0) is not in KServe's text: a server may refuse it, but not misread it.
//   - Classification calls its tensor BYTES and, in examples, STRING, which is no datatype: BYTES. The shape is [batch, count] in
//     the text and [count] in examples: either, the second for a batch of one.
package oipclient
