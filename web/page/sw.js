/** Keeps the page for use without a network. The build sets the version. */

const VERSION = "development";
const CACHE = `singer-page-${VERSION}`;

addEventListener("install", (event) => {
    const keep = async () => {
        const files = await (await fetch("files.json", { cache: "no-cache" })).json();
        const cache = await caches.open(CACHE);
        await cache.addAll(["./", ...files.map(({ path }) => path).filter((path) => path !== "sw.js")]);
        await skipWaiting();
    };
    event.waitUntil(keep());
});

addEventListener("activate", (event) => {
    const tidy = async () => {
        const old = (await caches.keys()).filter((name) => name.startsWith("singer-page-") && name !== CACHE);
        await Promise.all(old.map((name) => caches.delete(name)));
        await clients.claim();
    };
    event.waitUntil(tidy());
});

addEventListener("fetch", (event) => {
    if (event.request.method !== "GET" || new URL(event.request.url).origin !== location.origin) {
        return;
    }
    const answer = async () => {
        const cache = await caches.open(CACHE);
        const kept = await cache.match(event.request, { ignoreSearch: true });
        return kept ?? fetch(event.request);
    };
    event.respondWith(answer());
});
