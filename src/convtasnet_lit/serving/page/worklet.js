// Runs in the audio thread: hands on what the microphone hears, and plays what came back, a voice on each output.

const PIECE = 0.02; // seconds handed on at once
const HELD = 0.06; // seconds that wait before they are played, as they do not come evenly
const MOST = 0.25; // seconds more than that, from which on some are left out

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Float32Array(Math.round(PIECE * sampleRate));
    this.filled = 0;
    this.taken = 0; // samples of the microphone
    this.played = 0; // of those, the ones whose voices were played or left out
    this.queue = []; // interleaved voices
    this.queued = 0; // frames in it
    this.start = 0; // frames of its first piece that are gone
    this.flowing = false;
    this.port.onmessage = ({ data }) => this.queue.push(data);
  }

  process([[samples]], voices) {
    this.take(samples ?? new Float32Array(voices[0][0].length));
    this.play(voices.map(([output]) => output));
    return true;
  }

  take(samples) {
    for (const sample of samples) {
      this.piece[this.filled++] = sample;
      if (this.filled < this.piece.length) continue;
      this.taken += this.filled;
      const behind = this.flowing ? this.taken - this.played : null; // samples
      this.port.postMessage({ samples: this.piece.slice(), behind });
      this.filled = 0;
    }
  }

  play(voices) {
    const wanted = voices[0].length;
    const held = Math.round(HELD * sampleRate);
    let ready = this.queue.reduce((sum, piece) => sum + piece.length / voices.length, -this.start);
    if (ready < wanted) this.flowing = false;
    if (ready >= held + wanted) this.flowing = true;
    if (!this.flowing) return;
    for (; ready > held + MOST * sampleRate; ready--) this.next(voices.length);
    for (let time = 0; time < wanted; time++) {
      const frame = this.next(voices.length);
      voices.forEach((output, voice) => (output[time] = this.queue[0][frame + voice]));
    }
  }

  /** Go one frame on, and return where it begins in the first piece of the queue. */
  next(count) {
    if ((this.start + 1) * count > this.queue[0].length) {
      this.queue.shift();
      this.start = 0;
    }
    this.played++;
    return this.start++ * count;
  }
}

registerProcessor("microphone", Microphone);
