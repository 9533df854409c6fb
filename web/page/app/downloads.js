/** The bar of a download, and the button that stops it. */

import { byId } from "./dom.js";
import { download, isHub, megabytes, parse } from "./hub.js";
import { setState } from "./status.js";

let stop = new AbortController();

/**
 * Downloads a model of the hub while the bar tells how far it is.
 *
 * @param {string} text
 * @returns {Promise<import("./hub.js").HubModel>}
 */
export async function fromHub(text) {
    const { name } = parse(text);
    stop = new AbortController();
    const bar = byId("download-bar");
    bar.removeAttribute("value");
    byId("download").hidden = false;
    const onProgress = (done, size) => {
        bar.max = size;
        bar.value = done;
        setState("busy", `Loading ${name}: ${megabytes(done)} of ${megabytes(size)} MB`);
    };
    try {
        return await download(text, onProgress, stop.signal);
    } catch (error) {
        throw stop.signal.aborted ? new Error(`${name}: stopped; what is there is kept, and loading it again goes on`) : error;
    } finally {
        byId("download").hidden = true;
    }
}

/** Calls back with the model that the user asks for. */
export function listenForHub(onAsked) {
    byId("hub").addEventListener("submit", (event) => {
        event.preventDefault();
        onAsked(byId("hub-name").value);
    });
    byId("download-stop").addEventListener("click", () => stop.abort());
}

/** `?model=hf-hub:OWNER/NAME` of a link, taken out of the address, whose other part holds the view from then on. */
export function takeLinked() {
    const address = new URL(location.href);
    const model = address.searchParams.get("model");
    if (model === null) {
        return null;
    }
    address.searchParams.delete("model");
    history.replaceState(null, "", address);
    return isHub(model) ? model : null;
}
