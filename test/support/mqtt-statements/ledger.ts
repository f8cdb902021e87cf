/** The statements of a section by their last numbers: from the first to the last one. */
const SECTIONS: Record<string, readonly [first: number, last: number]> = {
  ...{ "1.5.4": [1, 3], "1.5.5": [1, 1], "1.5.7": [1, 1] },
  ...{ "2.1.3": [1, 1], "2.2.1": [2, 6], "2.2.2": [1, 1] },
  ...{ "3.1.0": [1, 2], "3.1.2": [1, 30], "3.1.3": [1, 12], "3.1.4": [1, 6] },
  ...{ "3.2.0": [1, 2], "3.2.2": [1, 22] },
  ...{ "3.3.1": [1, 13], "3.3.2": [1, 20], "3.3.4": [1, 10] },
  ...{ "3.4.2": [1, 3], "3.5.2": [1, 3], "3.6.1": [1, 1], "3.6.2": [1, 3], "3.7.2": [1, 3] },
  ...{ "3.8.1": [1, 1], "3.8.3": [1, 5], "3.8.4": [1, 8], "3.9.2": [1, 2], "3.9.3": [1, 2] },
  ...{ "3.10.1": [1, 1], "3.10.3": [1, 2], "3.10.4": [1, 6], "3.11.2": [1, 2], "3.11.3": [1, 2] },
  ...{ "3.12.4": [1, 1], "3.14.0": [1, 1], "3.14.1": [1, 1], "3.14.2": [1, 4], "3.14.4": [1, 3] },
  ...{ "3.15.1": [1, 1], "3.15.2": [1, 3] },
  ...{ "4.1.0": [1, 2], "4.2.0": [1, 1], "4.3.1": [1, 1], "4.3.2": [1, 5], "4.3.3": [1, 13] },
  ...{ "4.4.0": [1, 2], "4.5.0": [1, 2], "4.6.0": [1, 6] },
  ...{ "4.7.0": [1, 1], "4.7.1": [1, 2], "4.7.2": [1, 1], "4.7.3": [1, 4], "4.8.2": [1, 6] },
  ...{ "4.9.0": [1, 3], "4.12.0": [1, 7], "4.12.1": [1, 2], "4.13.1": [1, 1], "4.13.2": [1, 1] },
  ...{ "6.0.0": [1, 4] },
};

/** Every numbered statement of MQTT 5.0 (its appendix B has 251). */
export const ALL_STATEMENTS: readonly string[] = Object.entries(SECTIONS).flatMap(
  ([section, [first, last]]) =>
    Array.from({ length: last - first + 1 }, (_, index) => `MQTT-${section}-${first + index}`),
);

/** What only a client can do or leave. */
const OF_CLIENTS = [
  ...["MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT-3.1.2-30"],
  ...["MQTT-3.2.2-4", "MQTT-3.2.2-5", "MQTT-3.2.2-11", "MQTT-3.2.2-15", "MQTT-3.2.2-17"],
  ...["MQTT-3.2.2-18", "MQTT-3.2.2-21"],
  ...["MQTT-4.5.0-2", "MQTT-4.6.0-1", "MQTT-4.6.0-3", "MQTT-4.6.0-4"],
  ...["MQTT-4.12.0-3", "MQTT-4.12.0-7", "MQTT-4.12.1-1"],
];

const everything = "the server does all of it, so that the case does not arise";
const noAuth = "there is no enhanced authentication, so that the server sends no AUTH";
const noWords = "the server sends none in this packet";

/** Statements that no test of ours can show, each with the reason. */
export const WITHOUT_TEST: Readonly<Record<string, string>> = {
  ...Object.fromEntries(OF_CLIENTS.map((tag) => [tag, "it is the client's"])),
  "MQTT-3.2.2-10": everything,
  "MQTT-3.2.2-12": everything,
  "MQTT-3.2.2-13": everything,
  "MQTT-3.1.3-2":
    "deliberately another way: a device's session is the certificate's, whatever its client identifier",
  "MQTT-3.1.3-8": "a device's client identifier is never rejected; an application's is, with 0x85",
  "MQTT-3.1.3-10":
    "kept for values of one name; names come as they first stood, for the codec groups them",
  "MQTT-3.3.2-18": "as for wills: values of one name keep their order, names are grouped",
  "MQTT-3.3.4-5": "a message that several filters match is sent as one copy",
  ...{ "MQTT-3.4.2-3": noWords, "MQTT-3.5.2-3": noWords, "MQTT-3.6.2-3": noWords },
  ...{ "MQTT-3.6.2-2": noWords, "MQTT-3.7.2-2": noWords, "MQTT-3.7.2-3": noWords },
  ...{ "MQTT-3.9.2-1": noWords, "MQTT-3.9.2-2": noWords },
  ...{ "MQTT-3.11.2-1": noWords, "MQTT-3.11.2-2": noWords },
  ...{ "MQTT-3.15.2-1": noAuth, "MQTT-3.15.2-2": noAuth, "MQTT-3.15.2-3": noAuth },
  ...{ "MQTT-4.12.0-2": noAuth, "MQTT-4.12.0-4": noAuth, "MQTT-4.12.0-5": noAuth },
  "MQTT-4.12.1-2": noAuth,
  "MQTT-4.2.0-1": "TLS over TCP and WebSocket are such transports; every test uses one",
  "MQTT-4.7.3-3": "a string's length has 16 bits: longer ones cannot be written",
  "MQTT-4.8.2-4":
    "deliberately another way: a shared subscription is one of live connections, and keeps nothing",
  "MQTT-4.8.2-6": "an acknowledgement of any code is the end of a message: nothing of it is left",
  "MQTT-4.8.2-5": "as above: what a connection has not taken goes to nobody else, and is not kept",
};

/** Statements that are shown by a test outside of the tables: file, and what it is called. */
export const SHOWN_ELSEWHERE: Readonly<Record<string, readonly [file: string, title: string]>> = {
  "MQTT-3.1.2-22": ["unit/gateway-parts", "is silent for one and a half keep-alives"],
  "MQTT-3.1.4-2": ["integration/gateway", "closes a live connection at once when its certificate"],
  "MQTT-3.4.2-2": ["unit/gateway-packets", "leaves out its words where the client takes no more"],
  "MQTT-3.5.2-2": ["unit/gateway-packets", "leaves out its words where the client takes no more"],
  "MQTT-3.8.3-4": ["integration/mqtt-applications", "has no No Local on a shared subscription"],
  "MQTT-4.6.0-2": ["unit/gateway-parts", "go out in the order of their messages"],
  "MQTT-4.8.2-1": ["unit/gateway-packets", "names a group and a filter"],
  "MQTT-4.8.2-2": ["unit/gateway-packets", "names a group and a filter"],
  "MQTT-4.8.2-3": ["integration/mqtt-applications", "shares a subscription"],
  "MQTT-6.0.0-1": ["integration/mqtt-applications", "ends a connection that speaks in text"],
  "MQTT-6.0.0-2": ["integration/mqtt-applications", "ends a connection that speaks in text"],
  "MQTT-6.0.0-3": ["integration/mqtt-applications", "opens to"],
  "MQTT-6.0.0-4": ["integration/mqtt-applications", "opens to"],
};
