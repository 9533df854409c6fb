/** A tour of the page in four steps: each outlines what it speaks of. */

import { byId, element } from "./dom.js";

const panel = (name) => `figure[data-panel="${name}"]`;
const STEPS = [
    [panel("teacher"), "Each square is a patch of the image, coloured by its norm in one block of the teacher. A few are far brighter than the median: artifacts, which say nothing about what is there."],
    [panel("refined"), "The same teacher refined. What makes a token an artifact is taken out; the other patches stay as they are. The line above the maps says what it comes to."],
    [panel("student"), "A smaller model that learnt from the refined features. From the raw ones it would have learnt the artifacts too. Point at a patch to see how similar the others are to it in each model; a click keeps it marked."],
    ["#source", "Now your own: drop a photograph, or a model's safetensors, or load a model from the hub, and press “Find artifacts”. Nothing leaves this page."],
];

let step = null;

function show(next) {
    document.querySelector(".toured")?.classList.remove("toured");
    step = next;
    byId("tour").hidden = step === null;
    if (step === null) {
        byId("tour-start").focus({ preventScroll: true });
        return;
    }
    const [place, words] = STEPS[step];
    const target = document.querySelector(place);
    target.classList.add("toured");
    byId("tour-words").replaceChildren(element("b", {}, `${step + 1} of ${STEPS.length}`), ` ${words}`);
    byId("tour-back").disabled = step === 0;
    byId("tour-next").textContent = step === STEPS.length - 1 ? "Done" : "Next";
    // Below the maps, which stay in sight.
    target.scrollIntoView({ block: target.closest("#panels") ? "nearest" : "start" });
}

byId("tour-start").onclick = () => {
    show(0);
    byId("tour-next").focus({ preventScroll: true });
};
byId("tour-back").onclick = () => show(step - 1);
byId("tour-next").onclick = () => show(step === STEPS.length - 1 ? null : step + 1);
byId("tour-end").onclick = () => show(null);
addEventListener("keydown", ({ key }) => key === "Escape" && step !== null && show(null));
