// Package explain shows what a network saw: which parts of a picture speak for a class, what its layers make of the
// picture, and what excites a channel.
//
//	GradCAM     where a layer's maps speak for a class; one pass forward and part of one backward
//	Occlusion   how a class's probability falls as each part of the picture is covered; many passes
//	Fool        a small change of the picture that changes the answer
//	Maps        a layer's output, a picture for each channel
//	Filters     a convolution's weights, likewise
//	Field       the pixels that a unit of a layer sees
//	TopPatches  the parts of many pictures that excite a channel most
//
// Pictures are those that the network sees: what Model.Preprocess.Fit makes of a photo, and Seen larger.
package explain
