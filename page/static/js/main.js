// The page's start: words, models, what the address asks for, and the picture that was here before.

import * as api from "./api.js";
import { startWords } from "./words.js";
import { state, tell } from "./state.js";
import { startTheme } from "./theme.js";
import { startPicture, restore } from "./picture.js";
import { startAnswer } from "./answer.js";
import { startWhy } from "./why.js";
import { startBeside } from "./beside.js";
import { startFool } from "./fool.js";
import { startNetwork } from "./network.js";
import { startTable } from "./table.js";
import { startLayer } from "./layer.js";
import { startLab } from "./lab.js";
import { startLast } from "./last.js";
import { startTime } from "./time.js";
import { startBuild } from "./build.js";
import { startTrain } from "./train.js";
import { startStory } from "./story.js";
import { startQuestions } from "./questions.js";
import { startSave } from "./save.js";
import { startLink } from "./link.js";
import { startAddress, asksFor, settle } from "./address.js";

async function start() {
  try {
    const told = await api.models();
    state.models = told.models;
    state.networks = told.networks;
    state.model = told.models[0];
  } catch (error) {
    api.complain(error, start);
    return;
  }
  tell("models");
  await startAddress();
  await restore(asksFor());
  settle();
  document.body.dataset.ready = "true";
  tell("tour"); // of the address, now that there is what it is told on
}

await startWords();
startTheme();
startPicture();
startAnswer();
startWhy();
startFool();
startBeside();
startNetwork();
startTable();
startLayer();
startLab();
startLast();
startTime();
startBuild();
startTrain();
startStory();
startQuestions();
startSave();
startLink();
await start();
