/* What the other scripts share: making elements, and loading data files beside the pages. Text is always text. */
"use strict";
window.avbench = (function () {
  const root = new URL("..", document.currentScript.src);
  const loading = new Map();

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /* Data lies in scripts: a page from the disk may load nothing else. */
  function load(address) {
    const url = String(new URL(address, root));
    if (!loading.has(url)) {
      loading.set(url, new Promise((resolve, reject) => {
        const script = element("script", { src: url });
        script.addEventListener("load", resolve);
        script.addEventListener("error", () => reject(new Error(`cannot load ${address}`)));
        document.head.append(script);
      }));
    }
    return loading.get(url);
  }

  return { root, element, load };
})();
