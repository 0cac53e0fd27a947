/* Points of plots say what they are: the nearest to the pointer, and by arrow keys. Without this file browsers show the
   title of the point under the pointer. Enter, or a click, goes to the row that tells the same. */
"use strict";

(function () {
  const { element } = avbench;
  const REACH = 24; /* units of the drawing */

  class Plot {
    constructor(figure) {
      this.svg = figure.querySelector("svg");
      this.points = Array.from(figure.querySelectorAll(".point"), (mark) => {
        const title = mark.querySelector("title"), text = title.textContent;
        title.remove(); /* or there would be two */
        const [x, y] = mark.dataset.at.split(" ").map(Number);
        return { mark, text, x, y, href: mark.dataset.href };
      });
      if (!this.points.length) return;
      this.ordered = this.points.slice().sort((a, b) => a.x - b.x || a.y - b.y);
      this.area = element("div", { class: "plot-area", role: "group", tabindex: "0", "aria-label": "Plot: arrow keys go from point to point, Enter to its row" });
      this.tip = element("output", { class: "tip", "aria-live": "polite" });
      this.svg.replaceWith(this.area);
      this.area.append(this.svg, this.tip);
      this.area.addEventListener("pointermove", (event) => this.pick(this.nearest(event)));
      this.area.addEventListener("pointerleave", () => this.pick(null));
      this.area.addEventListener("blur", () => this.pick(null));
      this.area.addEventListener("click", () => this.go());
      this.area.addEventListener("keydown", (event) => this.onKey(event));
    }

    nearest(event) {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
      let best = null, least = REACH;
      for (const point of this.points) {
        const distance = Math.hypot(point.x - at.x, point.y - at.y);
        if (distance < least) [best, least] = [point, distance];
      }
      return best;
    }

    pick(point) {
      if (point === this.picked) return;
      if (this.picked) this.picked.mark.classList.remove("picked");
      this.picked = point;
      this.tip.textContent = point ? point.text : "";
      this.area.classList.toggle("leads", Boolean(point && point.href));
      if (point) point.mark.classList.add("picked");
    }

    onKey(event) {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter") this.go();
      else if (event.key === "Escape") this.pick(null);
      else if (step) {
        const now = this.ordered.indexOf(this.picked), many = this.ordered.length;
        this.pick(this.ordered[now < 0 ? (step > 0 ? 0 : many - 1) : (now + step + many) % many]);
        event.preventDefault();
      }
    }

    go() {
      if (this.picked && this.picked.href) location.assign(this.picked.href);
    }
  }

  document.querySelectorAll("figure.plot").forEach((figure) => new Plot(figure));
})();
