/** Models that the user brought, kept in this browser's cache storage. */

const CACHE = "singer-models";
const place = (role, name, what) => new URL(`stored/${role}/${encodeURIComponent(name)}/${what}`, document.baseURI).href;

/**
 * @typedef {{role: string, name: string, bytes: ArrayBuffer, configs: Record<string, string>}} StoredModel
 */

/** Keeps a model; says whether the browser had room for it. */
export async function store({ role, name, bytes, configs }) {
    try {
        const cache = await caches.open(CACHE);
        const headers = { "content-length": String(bytes.byteLength) };
        await cache.put(place(role, name, "weights"), new Response(bytes, { headers }));
        await cache.put(place(role, name, "configs"), Response.json(configs));
        return true;
    } catch {
        return false;
    }
}

/** Role, name and size in bytes of each. */
export async function list() {
    try {
        const cache = await caches.open(CACHE);
        const found = [];
        for (const request of await cache.keys()) {
            const [role, name, what] = new URL(request.url).pathname.split("/").slice(-3);
            if (what === "weights") {
                const kept = await cache.match(request);
                const size = Number(kept.headers.get("content-length"));
                found.push({ role, name: decodeURIComponent(name), size });
            }
        }
        return found;
    } catch {
        return [];
    }
}

/** @returns {Promise<StoredModel>} */
export async function load(role, name) {
    const cache = await caches.open(CACHE);
    const [weights, configs] = await Promise.all(
        ["weights", "configs"].map((what) => cache.match(place(role, name, what))),
    );
    if (!weights) {
        throw new Error(`${name} is not kept any more`);
    }
    return { role, name, bytes: await weights.arrayBuffer(), configs: (await configs?.json()) ?? {} };
}

export async function remove(role, name) {
    const cache = await caches.open(CACHE);
    await Promise.all(["weights", "configs"].map((what) => cache.delete(place(role, name, what))));
}
