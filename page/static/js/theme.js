// Light or dark: as the system has it, unless the reader says otherwise.

import { byID } from "./dom.js";
import { t } from "./words.js";
import { when } from "./state.js";

const themes = ["auto", "light", "dark"];

export function startTheme() {
  const button = byID("theme");
  let now = localStorage.getItem("theme");
  if (!themes.includes(now)) now = "auto";
  const show = () => {
    document.documentElement.dataset.theme = now;
    button.dataset.t = `theme.${now}`;
    button.textContent = t(`theme.${now}`);
  };
  button.addEventListener("click", () => {
    now = themes[(themes.indexOf(now) + 1) % themes.length];
    localStorage.setItem("theme", now);
    show();
  });
  when("language", show);
  show();
}
