// Package protocol tells where a server departs from the Open Inference Protocol, version 2, over HTTP (Check). It was
// written from the published texts alone, without a look at this repository's server, so that the two agree only where
// both agree with the specification. For that reason it imports nothing of vggo; its tests start vggo's server. It
// tries what that server speaks: one input and outputs of FP32, in JSON and by the binary tensor data extension.
//
// # Sources
//
//   - OIP: kserve/open-inference-protocol, specification/protocol/inference_rest.md at commit 7ef512b1f171 and
//     open_inference_rest.yaml at commit 18d5991e9e45 (the YAML says version 2.0 of the API; the text has no version).
//   - KServe: kserve/kserve, docs/predict-api/v2/required_api.md at commit 3dc5bfb4a5d8: the older text of the same
//     protocol, which keeps what OIP lost: the meaning of the health endpoints' status codes, and that all strings are
//     case-sensitive.
//   - Binary: triton-inference-server/server, docs/protocol/extension_binary_data.md at commit 6306a13d812a (2022),
//     which KServe took over in kserve/website, docs/modelserving/data_plane/binary_tensor_data_extension.md at commit
//     95709dc4bb45.
//   - RFC 9110 (HTTP semantics) and RFC 8259 (JSON), which these build on. Commits are those of the copies read.
//
// # Where they are silent or contradict themselves
//
// What is decided here, so that a server's author can disagree with a line and not with the whole:
//
//   - Health. KServe: the status code alone is the answer, 200 or 4xx, and the body should be empty. OIP describes a
//     JSON body and no status; its object for server ready has the member "live", surely for "ready". Accepted are 200
//     and 4xx with an empty body or a JSON object; the object's boolean must say what the status says, ready may be
//     called "live", and a 4xx may carry the error object instead. A 5xx is refused.
//   - Server metadata is at v2 in the texts and at /v2/ in the YAML: asked for at /v2, and a redirect is not followed.
//   - Inputs and outputs of a model's metadata are required in the texts and not in the YAML: required.
//   - Platform: the texts allow seven names and say that the name informs only. Any name of their form
//     <project>_<format> is accepted.
//   - "model_name" is required by the schemas and missing in every example: required. It must be the name that was
//     asked for.
//   - "id" is listed without #optional, as the one given "if any": the one that was given, else absent or empty.
//   - Members that no schema lists are refused, since the protocol extends itself through parameters; so are members
//     named twice, about which RFC 8259 leaves all open, and null. The Binary examples' requests have a "model_name"
//     that no schema has: not sent.
//   - Content-Type appears in examples only: application/json, or application/octet-stream where binary data follows.
//   - Content-Length: Binary says that it "continues" to tell the whole length, so a response with binary data must
//     have it.
//   - Inference-Header-Content-Length without binary data: accepted if it is the length of the body.
//   - A dimension is an integer written as one: 3, not 3.0. In requests and responses it is not negative; empty tensors
//     are not tried.
//   - JSON data has the JSON type of its datatype: a server may coerce what it takes, by Tensor Data, but nobody may
//     coerce what it gives. NaN and infinity have no JSON: not sent.
//   - Nested data must have the shape.
//   - Outputs come in any order: only their binary data is said to follow it. No output may come twice or unasked.
//   - Failures are "an HTTP error status (typically 400)". Triton answers 404 and others too. Wanted is any 4xx for a
//     request that is wrong in itself, since RFC 9110, section 15.6, keeps 5xx for the server's own faults.
//   - A raw binary request (Binary, length 0) is not in KServe's text. It belongs to the extension as Triton describes
//     it: answered.
package protocol

import "fmt"

// clause is a section of the specification; the package comment says which texts the documents' short names stand for.
type clause string

const (
	health               clause = "KServe, Health"
	caseSensitive        clause = "KServe, HTTP/REST" // "All strings in all contexts"
	paths                clause = "OIP, HTTP/REST"
	serverMetadataObject clause = "OIP, Server Metadata Response JSON Object"
	modelMetadataObject  clause = "OIP, Model Metadata Response JSON Object"
	modelErrorObject     clause = "OIP, Model Metadata Response JSON Error Object"
	platforms            clause = "OIP, Platforms"
	inference            clause = "OIP, Inference"
	requestObject        clause = "OIP, Inference Request JSON Object"
	requestInput         clause = "OIP, Request Input"
	requestOutput        clause = "OIP, Request Output"
	responseObject       clause = "OIP, Inference Response JSON Object"
	responseOutput       clause = "OIP, Response Output"
	errorObject          clause = "OIP, Inference Response JSON Error Object"
	parametersObject     clause = "OIP, Parameters"
	tensorData           clause = "OIP, Tensor Data"
	dataTypes            clause = "OIP, Tensor Data Types"
	examples             clause = "OIP, Inference Request Examples"
	binaryData           clause = "Binary, Binary Tensor Request"
	rawBinary            clause = "Binary, Raw Binary Request"
	clientError          clause = "RFC 9110, 15.5 Client Error 4xx"
	contentCoding        clause = "RFC 9110, 8.4 Content-Encoding"
	jsonText             clause = "RFC 8259, 2 JSON Grammar and 8.1 Character Encoding"
)

// violated is the error of an answer that departs from the clause.
func (c clause) violated(format string, args ...any) error {
	return fmt.Errorf("%s (%s)", fmt.Sprintf(format, args...), c)
}
