// The page: one view at a time, from a recording to its voices.

import { rendered } from "./card.js";
import { streamVoices } from "./live.js";
import { decodedHere, drawLevel, openMicrophone, shorts, wav } from "./microphone.js";
import { closeResults, prepareResults, showResults } from "./results.js";
import { describe, example, follow, forget, Refusal, send } from "./service.js";
import { clock, put, say, speak } from "./language.js";

const VIEWS = ["start", "recording", "working", "results", "live"];
const DECODED_HERE = 64e6; // bytes at most of a file that the service cannot read

const at = (id) => document.getElementById(id);
let model = null;
let job = null; // whose results are shown
let stop = new AbortController(); // what is going on

/** Show one view, and put the reader at its beginning. */
function show(view) {
  for (const name of VIEWS) at(name).hidden = name !== view;
  at(view).querySelector("h1").focus();
  scrollTo(0, 0);
}

function tell(key, values) {
  put(at("status"), key, values);
}

/** Say in words what went wrong; `again` is what can be tried. */
function complain(error, again) {
  if (error.name === "AbortError") return;
  const { key, values } = error instanceof Refusal ? error : { key: "failed", values: { sentence: error.message } };
  const button = at("problem").querySelector("button");
  put(at("problem").querySelector("p"), key, values);
  button.hidden = !(error.retry && again);
  button.onclick = again;
  at("problem").hidden = false;
}

/** Begin something new, and return what stops it. */
function begin() {
  stop.abort();
  closeResults();
  if (job) forget(job);
  job = null;
  at("problem").hidden = true;
  stop = new AbortController();
  return stop.signal;
}

/** Do something in a view of its own; a problem leads back to the start. */
async function attempt(view, work, again) {
  const signal = begin();
  show(view);
  try {
    await work(signal);
  } catch (error) {
    if (signal.aborted) return;
    show("start");
    complain(error, again);
  }
}

function separate(file) {
  return attempt("working", (signal) => separated(file, signal), () => separate(file));
}

async function separated(file, signal) {
  at("sent-name").textContent = file.name;
  stage("sending", 0);
  const { bytes } = model.limits;
  if (file.size > bytes) throw new Refusal("large", { megabytes: Math.floor(bytes / 1e6) });
  const sent = await sentSomehow(file, signal);
  const done = await follow(sent, signal, progress);
  if (done.state !== "done") throw new Refusal("", { sentence: done.error });
  stage("opening");
  await showResults(done, file.name, signal);
  job = done;
  show("results");
  tell("ready", { number: done.tracks.length - 1 });
}

async function sentSomehow(file, signal) {
  const sent = (part) => (part < 1 ? stage("sending", part) : stage("reading"));
  try {
    return await send(file, signal, sent);
  } catch (error) {
    const readable = error.status === 415 && file.size <= DECODED_HERE ? await decodedHere(file) : null;
    if (!readable || signal.aborted) throw error;
    return send(readable, signal, sent);
  }
}

function progress({ state, progress: part, seconds_ahead: ahead, estimate }) {
  if (state === "waiting" && ahead) stage("waiting", undefined, { ahead: clock(ahead) });
  else stage("running", part, { percent: Math.floor(100 * part) });
  if (estimate !== null) put(at("estimate"), "estimate", { time: clock(Math.max(1, Math.ceil(estimate))) });
}

/** Say what is being done, and how much of it is; undefined where that is not known. */
function stage(key, part, values) {
  const told = at("stage").dataset.text;
  put(at("stage"), key, values);
  at("estimate").textContent = "";
  delete at("estimate").dataset.text;
  if (part === undefined) at("progress").removeAttribute("value");
  else at("progress").value = part;
  if (told !== key) tell(key, values); // each stage is said once, not each step
}

function record() {
  return attempt("recording", async (signal) => {
    const pieces = [];
    const time = at("recording").querySelector(".clock");
    let length = 0;
    const { context, source, close } = await openMicrophone(1, signal, ({ samples }) => {
      pieces.push(shorts(samples));
      length += samples.length / context.sampleRate;
      time.textContent = clock(length);
      if (length >= model.limits.seconds) at("stop-recording").click();
    });
    const end = drawLevel(at("recording").querySelector("canvas"), source);
    tell("listening");
    const stopped = await new Promise((resolve) => {
      if (signal.aborted) resolve(false);
      at("stop-recording").onclick = () => resolve(true);
      signal.addEventListener("abort", () => resolve(false));
    });
    end();
    close();
    time.textContent = clock(0);
    if (!stopped) return;
    if (!pieces.length) throw new Refusal("nothing");
    separate(wav(pieces, context.sampleRate, `${say("recordingName")}.wav`));
  });
}

function tryExample() {
  return attempt("working", async (signal) => {
    at("sent-name").textContent = "";
    separate(await example(`${say("exampleName")}.wav`, signal));
  }, tryExample);
}

function goLive() {
  return attempt("live", async (signal) => {
    tell("listening");
    await streamVoices(model.speakers, signal);
  });
}

function leave(key) {
  begin();
  show("start");
  if (key) tell(key);
}

function acceptFiles() {
  const drop = at("drop");
  const takes = ({ dataTransfer }) => !at("start").hidden && dataTransfer.types.includes("Files");
  at("choose").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", ({ target }) => {
    if (target.files.length) separate(target.files[0]);
    target.value = ""; // the same file may be chosen again
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.toggle("over", takes(event));
  });
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault(); // also beside the place for it, or the browser opens the file
    drop.classList.remove("over");
    if (takes(event)) separate(event.dataTransfer.files[0]);
  });
}

function describeModel() {
  const { name, speakers, sample_rate: rate, streams, limits, card } = model;
  const minutes = (seconds) => Math.round(seconds / 60);
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  put(at("able"), rate > 8000 ? "able" : "ableNarrow", { name, people: speakers, kilohertz: rate / 2000 });
  put(at("limits"), "limits", { minutes: minutes(limits.seconds), megabytes: Math.floor(limits.bytes / 1e6) });
  put(at("kept"), here ? "keptHere" : "keptThere", { host: location.hostname, minutes: minutes(limits.kept) });
  put(at("until"), "until", { minutes: minutes(limits.kept) });
  put(at("live-able"), streams ? "liveAble" : "liveUnable");
  at("go-live").hidden = !streams;
  for (const button of document.querySelectorAll(".open-card")) button.hidden = !card;
  at("card").querySelector(".card").replaceChildren(...rendered(card));
}

async function main() {
  speak(at("language"));
  prepareResults();
  acceptFiles();
  at("record").addEventListener("click", record);
  at("example").addEventListener("click", tryExample);
  at("go-live").addEventListener("click", goLive);
  at("cancel").addEventListener("click", () => leave("cancelled"));
  at("discard").addEventListener("click", () => leave("stopped"));
  at("stop-live").addEventListener("click", () => leave("stopped"));
  at("another").addEventListener("click", () => leave());
  for (const button of document.querySelectorAll(".open-card")) button.addEventListener("click", () => at("card").showModal());
  at("close-card").addEventListener("click", () => at("card").close());
  addEventListener("pagehide", () => leave()); // nobody comes back to what was here
  try {
    model = await describe();
    describeModel();
    document.body.classList.add("ready");
  } catch (error) {
    complain(error, () => location.reload());
  }
}

main();
