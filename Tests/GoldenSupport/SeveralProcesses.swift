import Foundation

/// A TCP port of this machine that nobody listens on now.
public func freePort() -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            guard bind(descriptor, $0, length) == 0, getsockname(descriptor, $0, &length) == 0
            else {
                fatalError("freePort: \(String(cString: strerror(errno)))")
            }
        }
        return UInt16(bigEndian: pointer.pointee.sin_port)
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
