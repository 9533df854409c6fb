/** What the controls say, and the same in the page's address. */

import { byId } from "./dom.js";

/** Controls by their key in the address. */
const CONTROLS = {
    block: "layer",
    q: "quantile",
    refine: "strength",
    over: "overlay",
    colours: "palette",
    patches: "upsampling",
    range: "range",
    input: "side",
};
const DEFAULTS = { layer: "3", quantile: "0.97", strength: "1", overlay: "1", palette: "inferno", upsampling: "nearest", range: "shared", side: "1" };

/** The patch that is marked, and the scene that is shown where one is. */
export const marked = { patch: null, scene: null };

/** Reads the address into the controls; what it does not say is the default. */
export function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const [key, id] of Object.entries(CONTROLS)) {
        const control = byId(id);
        control.value = DEFAULTS[id];
        if (given.has(key)) {
            const before = control.value;
            control.value = given.get(key);
            if (control.value === "") {
                control.value = before;
            }
        }
    }
    const whole = (key) => (/^\d{1,9}$/.test(given.get(key) ?? "") ? Number(given.get(key)) : null);
    marked.patch = whole("patch");
    marked.scene = whole("scene");
    label();
}

/** The address of what is shown; an image is never part of it. */
export function writeAddress() {
    const entries = Object.entries(CONTROLS).map(([key, id]) => [key, byId(id).value]);
    const own = entries.filter(([key, value]) => value !== DEFAULTS[CONTROLS[key]]);
    if (marked.patch !== null) {
        own.push(["patch", marked.patch]);
    }
    if (marked.scene !== null) {
        own.push(["scene", marked.scene]);
    }
    history.replaceState(null, "", `#${new URLSearchParams(own)}`);
}

/** What `Engine.show` is asked for. */
export function request() {
    const number = (id) => Number(byId(id).value);
    return {
        layer: number("layer"),
        quantile: number("quantile"),
        strength: number("strength"),
        patch: marked.patch,
        palette: byId("palette").value,
        upsampling: byId("upsampling").value,
        opacity: number("overlay"),
        shared: byId("range").value === "shared",
    };
}

/** Blocks of the model; a block beyond them becomes the last. */
export function setBlocks(depth) {
    byId("layer").max = depth - 1;
    label();
}

/** Writes each slider's value beside it. */
export function label() {
    const last = byId("layer").max;
    byId("layer-value").value = `${byId("layer").value} of 0–${last}`;
    byId("quantile-value").value = Number(byId("quantile").value).toFixed(3);
    const strength = Number(byId("strength").value);
    byId("strength-value").value = `${strength.toFixed(2)} × the adapter`;
    byId("overlay-value").value = `${Math.round(100 * Number(byId("overlay").value))} %`;
}

/** Calls back for every change of a control, and says whether the input changed. */
export function onChange(changed) {
    for (const id of Object.values(CONTROLS)) {
        byId(id).addEventListener("input", () => {
            label();
            changed(id === "side");
        });
    }
}
