// Stands for packages of the MQTT client that the agent has no use for: it speaks TLS alone.
class LeftOut {
  constructor() {
    throw new Error("the agent's bundle has no WebSocket and no SOCKS");
  }
}

export { LeftOut as SocksClient, LeftOut as WebSocket };
