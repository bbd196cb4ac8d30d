// So many tasks at a time; the others wait their turn.

/** A function that runs a task, an async function, as soon as one of the places is free. */
export function queue(places) {
  const waiting = [];
  let busy = 0;

  function next() {
    while (busy < places && waiting.length) {
      busy += 1;
      waiting.shift()().finally(() => {
        busy -= 1;
        next();
      });
    }
  }

  /** The result of the task; what a person waits for, `first`, goes ahead of the rest. */
  return (task, first = false) =>
    new Promise((resolve, reject) => {
      const run = () => task().then(resolve, reject);
      if (first) waiting.unshift(run);
      else waiting.push(run);
      next();
    });
}
