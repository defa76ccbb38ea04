package oipclient

import "fmt"

// Clause is a section of the specification; the package comment says which texts the documents' short names stand for.
type Clause struct{ Document, Section string }

func (c Clause) String() string { return c.Document + ", " + c.Section }

var (
	health           = Clause{"KServe", "Health"}
	serverMetadata   = Clause{"OIP", "Server Metadata Response JSON Object"}
	modelMetadata    = Clause{"OIP", "Model Metadata Response JSON Object"}
	platforms        = Clause{"OIP", "Platforms"}
	inference        = Clause{"OIP", "Inference"}
	inferenceRequest = Clause{"OIP", "Inference Request JSON Object"}
	requestInput     = Clause{"OIP", "Request Input"}
	requestOutput    = Clause{"OIP", "Request Output"}
	response         = Clause{"OIP", "Inference Response JSON Object"}
	responseOutput   = Clause{"OIP", "Response Output"}
	serverError      = Clause{"OIP", "Server Metadata Response JSON Error Object"}
	modelError       = Clause{"OIP", "Model Metadata Response JSON Error Object"}
	inferenceError   = Clause{"OIP", "Inference Response JSON Error Object"}
	parameters       = Clause{"OIP", "Parameters"}
	tensorData       = Clause{"OIP", "Tensor Data"}
	dataTypes        = Clause{"OIP", "Tensor Data Types"}
	paths            = Clause{"OIP", "HTTP/REST"}
	examples         = Clause{"OIP", "Inference Request Examples"}
	binaryData       = Clause{"Binary", "Binary Tensor Request"}
	rawBinary        = Clause{"Binary", "Raw Binary Request"}
	classification   = Clause{"Classification", "HTTP/REST"}
	clientError      = Clause{"RFC 9110", "15.5 Client Error 4xx"}
	contentCoding    = Clause{"RFC 9110", "8.4 Content-Encoding"}
	jsonText         = Clause{"RFC 8259", "2 JSON Grammar"}
	jsonEncoding     = Clause{"RFC 8259", "8.1 Character Encoding"}
	caseSensitive    = Clause{"KServe", "HTTP/REST"} // "All strings in all contexts"
	jsonObject       = Clause{"RFC 8259", "4 Objects"}
)

// Violation is an answer that departs from the specification.
type Violation struct {
	Clause Clause
	Reason string
}

func (v *Violation) Error() string { return v.Reason + " (" + v.Clause.String() + ")" }

// violated is a Violation of the clause.
func (c Clause) violated(format string, args ...any) error {
	return &Violation{c, fmt.Sprintf(format, args...)}
}

// StatusError is a failure reported as the specification wants it: an HTTP error status and an error object.
type StatusError struct {
	Code    int
	Message string // of the error object
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answers %d: %s", e.Code, e.Message)
}
