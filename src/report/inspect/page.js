// The viewer: a click on a picture opens it large, beside another of the same image under a slider.
// Without scripts and on paper the page shows the same pictures.
(() => {
  const make = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const name = (tile) => {
    const caption = tile.querySelector("figcaption");
    return [...caption.children].map((part) => part.textContent).join(", ");
  };
  const copy = (tile) => {
    const face = tile.querySelector(".face").cloneNode(true);
    face.removeAttribute("tabindex");
    face.setAttribute("role", "img");
    face.style.aspectRatio = "";
    return face;
  };
  const ratio = (tile) => {
    const [width, height] = tile.querySelector(".face").style.aspectRatio.split("/");
    return width / (height ?? 1);
  };

  // Two pictures over each other, the second from the slider to the right.
  const comparison = (before, after) => {
    const [left, right] = [copy(before), copy(after)];
    right.classList.add("after");
    const box = make("div", { className: "compare" }, left, right);
    box.style.aspectRatio = ratio(before);
    const slide = make("input", { type: "range", className: "slide", min: 0, max: 100, value: 50, step: 0.5 });
    slide.setAttribute("aria-label", `${name(before)} to the left, ${name(after)} to the right`);
    const move = () => box.style.setProperty("--at", `${slide.value}%`);
    const follow = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const { left, width } = box.getBoundingClientRect();
      slide.value = ((event.clientX - left) / width) * 100;
      move();
    };
    slide.addEventListener("input", move);
    box.addEventListener("pointerdown", (event) => {
      box.setPointerCapture(event.pointerId);
      follow(event);
    });
    box.addEventListener("pointermove", follow);
    move();
    const sides = make("p", { className: "sides" }, make("span", { textContent: `← ${name(before)}` }));
    sides.append(make("span", { textContent: `${name(after)} →` }));
    return [box, slide, sides];
  };

  const dialog = make("dialog");
  dialog.setAttribute("aria-label", "A picture, large");
  document.body.append(dialog);
  let opener;
  const open = (tile) => {
    const article = tile.closest("article, section");
    const tiles = [...article.querySelectorAll(".tile")];
    const large = make("div", { className: "large" });
    // Custom properties of the article are not the dialog's.
    dialog.style.setProperty("--photo", article.style.getPropertyValue("--photo"));
    const select = make("select", {}, make("option", { value: "", textContent: "nothing" }));
    for (const [index, other] of tiles.entries()) {
      if (other === tile) continue;
      const layer = other.closest(".layer").querySelector("h4").textContent;
      select.append(make("option", { value: index, textContent: `${layer}: ${name(other)}` }));
    }
    const show = () => {
      const other = tiles[select.value];
      large.style.setProperty("--ratio", ratio(tile));
      if (select.value !== "" && other) return large.replaceChildren(...comparison(tile, other));
      const face = copy(tile);
      face.style.aspectRatio = ratio(tile);
      large.replaceChildren(face, ...[...tile.querySelectorAll(".bar, .ends, p")].map((part) => part.cloneNode(true)));
    };
    select.addEventListener("change", show);
    const step = (by) => open(tiles[(tiles.indexOf(tile) + by + tiles.length) % tiles.length]);
    const button = (textContent, label, onclick) => {
      const made = make("button", { type: "button", textContent, onclick });
      made.setAttribute("aria-label", label);
      return made;
    };
    const form = make(
      "form",
      { method: "dialog" },
      button("‹", "previous picture", () => step(-1)),
      button("›", "next picture", () => step(1)),
      make("strong", { textContent: name(tile) }),
      make("label", {}, "compare with ", select),
      make("button", { textContent: "Close" }),
    );
    dialog.onkeydown = (event) => {
      if (event.target.matches("select, input")) return;
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    };
    show();
    dialog.replaceChildren(form, large);
    if (!dialog.open) {
      opener = tile.querySelector(".face");
      dialog.showModal();
    }
  };
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => opener?.focus({ preventScroll: true }));

  for (const tile of document.querySelectorAll(".tile")) {
    const face = tile.querySelector(".face");
    face.tabIndex = 0;
    face.setAttribute("role", "button");
    face.setAttribute("aria-label", `${name(tile)}: open large`);
    face.addEventListener("click", () => open(tile));
    face.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      open(tile);
    });
  }

  // At a glance: the teacher's norms in the last layer beside those of its refinement, or of the student.
  for (const article of document.querySelectorAll("article")) {
    const layers = [...article.querySelectorAll(".layer")];
    const norms = layers.map((layer) => [...layer.querySelectorAll(".tile")].filter((tile) => /^patch norm, /.test(name(tile)) && !/ px$/.test(name(tile))));
    const last = norms.filter((tiles) => tiles.length > 1).pop();
    if (last) article.querySelector(".layer").before(make("div", { className: "glance" }, ...comparison(last[0], last[1])));
  }
})();
