import Foundation

/// A TCP port of this machine that nobody listens on now, below those that outgoing connections get.
public func freePort() -> UInt16 {
    while true {
        let port = UInt16.random(in: 12_000..<32_000)
        if isFree(port) { return port }
    }
}

private func isFree(_ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    return withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

/// Runs `body` on `count` threads at once, each standing for a process, and waits for all.
public func inThreads(_ count: Int, _ body: @escaping @Sendable (_ rank: Int) -> Void) {
    let group = DispatchGroup()
    for rank in 0..<count {
        group.enter()
        Thread.detachNewThread {
            defer { group.leave() }
            body(rank)
        }
    }
    group.wait()
}
