// Tracks of one length that play in step: one clock, and a level for each.

import { Refusal } from "./service.js";

const MOST_BYTES = 400e6; // of decoded samples; longer recordings are played from the service
const LEAD = 0.05; // seconds in which all sources are started
const DRIFT = 0.06; // seconds by which media elements may differ

/** Open tracks to play: decoded where memory allows it. */
export async function openPlayer(addresses, seconds, load) {
  const context = new AudioContext();
  if (seconds * context.sampleRate * 4 * addresses.length > MOST_BYTES) {
    await context.close();
    return new ElementPlayer(addresses, seconds);
  }
  try {
    const buffers = await Promise.all(addresses.map(async (address) => context.decodeAudioData(await load(address))));
    return new BufferPlayer(context, buffers);
  } catch (error) {
    await context.close();
    throw error.name === "EncodingError" ? new Refusal("unplayable") : error;
  }
}

/** Decoded tracks, started at one time of one context, so that they cannot part. */
class BufferPlayer {
  constructor(context, buffers) {
    this.context = context;
    this.buffers = buffers;
    this.duration = Math.max(...buffers.map((buffer) => buffer.duration));
    this.gains = buffers.map(() => new GainNode(context));
    this.gains.forEach((gain) => gain.connect(context.destination));
    this.sources = [];
    this.offset = 0; // seconds into the recording, at `began` of the context
    this.began = 0;
    this.changed = () => {};
  }

  get playing() {
    return this.sources.length > 0;
  }

  get time() {
    const gone = this.playing ? Math.max(0, this.context.currentTime - this.began) : 0;
    return Math.min(this.offset + gone, this.duration);
  }

  /** The greatest sample of all tracks. */
  get peak() {
    let most = 0;
    for (const buffer of this.buffers) {
      const samples = buffer.getChannelData(0);
      for (let time = 0; time < samples.length; time++) most = Math.max(most, Math.abs(samples[time]));
    }
    return most;
  }

  async play() {
    await this.context.resume();
    if (!this.playing) this.#start();
    this.changed();
  }

  pause() {
    this.offset = this.time;
    this.#stop();
    this.changed();
  }

  seek(time) {
    const playing = this.playing;
    this.#stop();
    this.offset = Math.min(Math.max(0, time), this.duration);
    if (playing) this.#start();
    this.changed();
  }

  /** Set the level of each track, from 0 to 1. */
  hear(levels) {
    this.gains.forEach(({ gain }, index) => gain.setTargetAtTime(levels[index], this.context.currentTime, 0.01));
  }

  close() {
    this.#stop();
    this.context.close();
  }

  #start() {
    if (this.offset >= this.duration) this.offset = 0;
    this.began = this.context.currentTime + LEAD;
    this.sources = this.buffers.map((buffer, index) => {
      const source = new AudioBufferSourceNode(this.context, { buffer });
      source.connect(this.gains[index]);
      source.start(this.began, this.offset);
      return source;
    });
    this.sources[0].onended = () => {
      this.#stop();
      this.offset = 0;
      this.changed();
    };
  }

  #stop() {
    for (const source of this.sources) {
      source.onended = null;
      source.stop();
    }
    this.sources = [];
  }
}

/** Tracks too long to decode: media elements, of which the others follow the first. */
class ElementPlayer {
  constructor(addresses, seconds) {
    this.elements = addresses.map((address) => new Audio(address));
    this.duration = seconds;
    this.peak = 1; // unknown
    this.changed = () => {};
    const [first] = this.elements;
    first.ontimeupdate = () => this.#align(DRIFT);
    first.onended = () => this.seek(0);
    // only now does it say where it stands
    for (const name of ["pause", "seeked"]) first.addEventListener(name, () => this.playing || this.#align(0));
    for (const name of ["play", "pause"]) first.addEventListener(name, () => this.changed());
  }

  get playing() {
    return !this.elements[0].paused;
  }

  get time() {
    return this.elements[0].currentTime;
  }

  async play() {
    await Promise.allSettled(this.elements.map((element) => element.play()));
  }

  pause() {
    this.elements.forEach((element) => element.pause());
    this.#align(0);
  }

  seek(time) {
    for (const element of this.elements) element.currentTime = time;
    this.changed();
  }

  hear(levels) {
    this.elements.forEach((element, index) => {
      element.volume = levels[index];
      element.muted = levels[index] === 0; // some telephones leave the volume alone
    });
  }

  close() {
    this.elements.forEach((element) => {
      element.pause();
      element.removeAttribute("src");
      element.load();
    });
  }

  #align(most) {
    for (const element of this.elements) {
      if (Math.abs(element.currentTime - this.time) > most) element.currentTime = this.time;
    }
  }
}
