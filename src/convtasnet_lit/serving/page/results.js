// The results of a job: pictures, one transport for all tracks, solo and mute, who speaks when.

import { openPlayer } from "./player.js";
import { result } from "./service.js";
import { clock, label, put, say } from "./language.js";

const TALLEST = 20; // times by which a quiet recording's waveform is enlarged at most

const at = (id) => document.getElementById(id);
let shown = null; // the results on the page

/** Show a job that is done; `name` is the recording's. */
export async function showResults(job, name, signal) {
  closeResults();
  at("results-title").textContent = name;
  at("zip").href = job.zip;
  const loaded = (address) => result(address, signal);
  const player = await openPlayer(job.tracks.map(({ audio }) => audio), job.seconds, loaded);
  if (signal.aborted) {
    player.close();
    throw signal.reason;
  }
  shown = new Results(job, name.replace(/\.\w+$/, ""), player);
}

/** Stop playback and let go of what was shown. */
export function closeResults() {
  shown?.close();
  shown = null;
}

/** Set up the controls that stay. */
export function prepareResults() {
  at("play").addEventListener("click", () => shown.toggle());
  at("seek").addEventListener("input", ({ target }) => shown.player.seek(Number(target.value)));
}

const titled = (name) => (name === "mixture" ? ["mixture"] : ["speaker", { number: Number(name.replace("speaker", "")) }]);

class Results {
  constructor(job, stem, player) {
    this.player = player;
    this.solo = 0; // the track that plays alone, none if -1; at first the recording, as it came
    this.muted = job.tracks.map(() => false);
    this.rows = job.tracks.map((track, index) => this.#row(track, index, stem));
    at("tracks").replaceChildren(...this.rows);
    const enlarged = Math.min(TALLEST, 1 / Math.max(player.peak, 1e-9));
    at("results").style.setProperty("--enlarged", `${enlarged * 100}%`);
    at("seek").max = player.duration;
    at("duration").textContent = clock(player.duration);
    this.#turns(job.timeline ?? [], job.tracks.slice(1));
    player.changed = () => this.#follow();
    this.#hear();
    this.#follow();
  }

  close() {
    this.player.close();
    cancelAnimationFrame(this.frame);
  }

  toggle() {
    if (this.player.playing) this.player.pause();
    else this.player.play();
  }

  #row(track, index, stem) {
    const row = at("track").content.firstElementChild.cloneNode(true);
    const find = (selector) => row.querySelector(selector);
    const name = titled(track.name);
    row.dataset.track = index;
    put(find("h2"), ...name);
    for (const button of row.querySelectorAll("button, a")) put(button, button.dataset.text);
    label(find(".solo"), "soloOf", { name });
    label(find(".mute"), "muteOf", { name });
    label(find(".download"), "downloadOf", { name });
    label(find(".waveform"), "waveformOf", { name });
    label(find(".spectrogram"), "spectrogramOf", { name });
    find(".waveform").style.setProperty("--picture", `url("${track.waveform}")`);
    find(".spectrogram").style.setProperty("--picture", `url("${track.spectrogram}")`);
    find(".download").href = track.audio;
    find(".download").download = `${stem}_${track.audio.split("/").at(-1)}`;
    find(".solo").addEventListener("click", () => {
      this.solo = this.solo === index ? -1 : index;
      this.#hear();
    });
    find(".mute").addEventListener("click", () => {
      this.muted[index] = !this.muted[index];
      this.#hear();
    });
    find(".strip").addEventListener("pointerdown", (event) => this.#drag(event));
    return row;
  }

  #drag(event) {
    const strip = event.currentTarget;
    const go = ({ clientX }) => {
      const { left, width } = strip.getBoundingClientRect();
      this.player.seek((Math.min(Math.max(0, clientX - left), width) / width) * this.player.duration);
    };
    go(event);
    strip.setPointerCapture(event.pointerId);
    strip.addEventListener("pointermove", go);
    strip.addEventListener("lostpointercapture", () => strip.removeEventListener("pointermove", go), { once: true });
  }

  #hear() {
    const heard = this.muted.map((muted, index) => (this.solo < 0 ? !muted : index === this.solo));
    const level = heard[0] && heard.lastIndexOf(true) > 0 ? 0.5 : 1; // the recording is about the sum of the others
    this.player.hear(heard.map((on) => (on ? level : 0)));
    this.rows.forEach((row, index) => {
      row.classList.toggle("unheard", !heard[index]);
      row.querySelector(".solo").setAttribute("aria-pressed", index === this.solo);
      row.querySelector(".mute").setAttribute("aria-pressed", this.muted[index]);
    });
  }

  #turns(timeline, tracks) {
    at("turns").hidden = timeline.length === 0;
    const lanes = tracks.map((track, index) => {
      const lane = document.createElement("div");
      const own = timeline.filter(({ speaker }) => speaker === index + 1);
      lane.className = "lane";
      lane.dataset.track = index + 1;
      lane.setAttribute("role", "img");
      const time = clock(own.reduce((sum, { start, end }) => sum + end - start, 0));
      label(lane, "turnsOf", { name: titled(track.name), turns: own.length, time });
      lane.replaceChildren(...own.map((turn) => this.#span(turn)));
      return lane;
    });
    at("turns").querySelector(".lanes").replaceChildren(...lanes);
    at("turns").querySelector("ol").replaceChildren(...timeline.map((turn) => this.#listed(turn)));
  }

  #span({ start, end }) {
    const span = document.createElement("span");
    span.style.left = `${(start / this.player.duration) * 100}%`;
    span.style.width = `${((end - start) / this.player.duration) * 100}%`;
    return span;
  }

  #listed({ speaker, start, end }) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    put(button, "turn", { name: ["speaker", { number: speaker }], start: clock(start), end: clock(end) });
    button.addEventListener("click", () => this.player.seek(start));
    item.append(button);
    return item;
  }

  /** Show where the playback is, as long as it moves. */
  #follow() {
    const { player } = this;
    const [time, duration] = [clock(player.time), clock(player.duration)];
    at("results").style.setProperty("--at", player.time / player.duration);
    at("results").classList.toggle("plays", player.playing);
    at("seek").value = player.time;
    at("seek").setAttribute("aria-valuetext", say("positionValue", { time, duration }));
    at("time").textContent = time;
    put(at("play").querySelector("span"), player.playing ? "pause" : "play");
    cancelAnimationFrame(this.frame);
    if (player.playing) this.frame = requestAnimationFrame(() => this.#follow());
  }
}
