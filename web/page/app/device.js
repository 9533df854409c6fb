/** What computes, in the page's head. */

import { byId, element } from "./dom.js";

/**
 * @param {import("../pkg/singer_web.js").DeviceInfo & {slowGpu: string}} device
 * @param {string} prefer what the address asks for
 */
export function showDevice({ backend, name, slowGpu }, prefer) {
    byId("device").textContent = backend === "cpu" ? "CPU" : `WebGPU${name && ` (${name})`}`;
    if (slowGpu) {
        const all = element("a", { href: "?device=webgpu" }, "use it all the same");
        byId("device").append(`, measured faster than WebGPU here (${slowGpu}): `, all);
    }
    byId("half").disabled = backend === "cpu";
    byId("notice").hidden = backend !== "cpu" || prefer === "cpu" || slowGpu !== "";
}
