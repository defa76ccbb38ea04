// Package train makes a network of pictures: optimisers, schedules, augmentation, and a loop whose runs can be trusted.
//
// Optimisers are SGD and AdamW, as PyTorch has them, and Muon, as airbench94_muon has it: of the weights of
// convolutions and fully connected layers, each a matrix, beside SGD for the rest.
//
// A Trainer follows a Recipe. What it does depends on the recipe, the data and the kernels alone, not on threads or on
// interruptions: every random choice is drawn from the seed, the epoch and the sample, every sum has a fixed order, and
// a run resumed from a checkpoint ends with the bits of one that never stopped.
package train
