// All cases; each is a function of its Case.

export * from "./binary.mjs";
export * from "./channels.mjs";
export * from "./connections.mjs";
export * from "./fallback.mjs";
export * from "./joins.mjs";
export * from "./longpoll.mjs";
export * from "./messages.mjs";
export * from "./presence.mjs";
export * from "./tokens.mjs";
