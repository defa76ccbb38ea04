// What classes and operations are called in the reader's language. The names of classes come with the weights, in English mostly; those of
// the data sets that vggo knows have a Chinese name here, others stay as they are.

import { t, has, spoken, wordsOf } from "./words.js";
import { state } from "./state.js";

// className is a class's name: that of a label where there is one, else its number.
export function className(n, label = state.model?.classes[n]) {
  if (!label) return t("answer.class", { n });
  return spoken() === "en" ? label : wordsOf("classes")[label] ?? label;
}

// operation writes what arch calls an operation, "conv 3x3 pad 1, relu", word by word in the reader's language.
export function operation(text) {
  if (spoken() === "en") return text;
  return text.replace(/[a-z]+(?: bias)?/g, (word) => {
    const key = `op.${word.replace(" ", "_")}`;
    return has(key) ? t(key) : word;
  });
}
