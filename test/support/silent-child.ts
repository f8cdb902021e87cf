// Says that it is there, and nothing more; lives until it is ended.
process.send?.("here");
setInterval(() => {}, 1_000);
