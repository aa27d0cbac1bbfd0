// An upload by tus-js-client, the client of browsers: node client.js MODE ENDPOINT TOKEN FILE CHUNK PATH
"use strict";

const fs = require("node:fs");
const { PassThrough } = require("node:stream");
const tus = require("tus-js-client");

const [mode, endpoint, token, file, chunk, path] = process.argv.slice(2);

const options = {
  endpoint,
  headers: { Authorization: `Bearer ${token}` },
  chunkSize: Number(chunk) || Infinity,
  // It is cut and killed often: patience for a restart, without a pause at first.
  retryDelays: [0, 100, 200, 300, 500, 500, 1000, 1000, 2000, 2000, 3000, 5000, 5000, 5000],
  metadata: { path, filename: "any name, größe" },
  uploadSize: fs.statSync(file).size,
};

function upload(more = {}, content = fs.createReadStream(file)) {
  return new Promise((resolve, reject) => {
    const one = new tus.Upload(content, {
      ...options,
      ...more,
      onError: reject,
      onSuccess: (payload) => resolve({ url: one.url, etag: payload?.lastResponse?.getHeader("ETag") }),
      onChunkComplete: (_, accepted) => {
        // Only the first part, as a user who closes the page.
        if (more.stopAfter && accepted >= more.stopAfter) one.abort().then(() => resolve({ url: one.url }), reject);
      },
    });
    one.start();
  });
}

const modes = {
  plain: () => upload(),
  creation: () => upload({ uploadDataDuringCreation: true }),
  override: () => upload({ overridePatchMethod: true }),
  // The client knows a file's size: a stream is what has none.
  deferred: () =>
    upload({ uploadLengthDeferred: true, uploadSize: null }, fs.createReadStream(file).pipe(new PassThrough())),
  async resumed() {
    const { url } = await upload({ stopAfter: Number(chunk) });
    return upload({ uploadUrl: url });
  },
  async terminated() {
    const { url } = await upload({ stopAfter: Number(chunk) });
    await tus.Upload.terminate(url, options);
    return { url };
  },
};

modes[mode]().then(
  (done) => console.log(JSON.stringify(done)),
  (error) => {
    console.error(String(error));
    process.exit(1);
  },
);
