// A voice message, recorded where the browser can. Ogg is WhatsApp's own; WebM is put into Ogg by the server; what
// Safari records (MP4) goes out as an ordinary audio file.

const FORMATS = ["audio/ogg;codecs=opus", "audio/webm;codecs=opus", "audio/mp4"];
const ENDINGS = { "audio/ogg": "ogg", "audio/webm": "webm", "audio/mp4": "m4a" };
const BITS = 32_000; // a second: plenty for a voice

const format = () => FORMATS.find((type) => globalThis.MediaRecorder?.isTypeSupported(type));

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && format());

/** Begins to record. ``tick`` hears how many seconds it has been. Throws a sentence when there is no microphone. */
export async function record(tick) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    throw new Error(
      error.name === "NotAllowedError"
        ? "The browser may not use the microphone. Allow it beside the address, then try again."
        : "No microphone was found.",
      { cause: error },
    );
  }
  const recorder = new MediaRecorder(stream, { mimeType: format(), audioBitsPerSecond: BITS });
  const parts = [];
  const began = performance.now();
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
  const clock = setInterval(() => tick((performance.now() - began) / 1000), 250);
  recorder.start(1000);

  const stop = async () => {
    clearInterval(clock);
    if (recorder.state !== "inactive") recorder.stop();
    await stopped;
    for (const track of stream.getTracks()) track.stop();
  };
  return {
    discard: stop,
    async finish() {
      await stop();
      const type = recorder.mimeType.split(";")[0];
      return new File(parts, `voice.${ENDINGS[type] ?? "audio"}`, { type });
    },
  };
}
