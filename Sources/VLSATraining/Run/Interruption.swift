import Foundation
import Synchronization

/// SIGINT and SIGTERM as a question a loop asks between steps; a second signal ends the process at once.
public enum Interruption {
    private static let received = Atomic<Int32>(0)

    /// Catches both signals from now on and forgets earlier ones.
    ///
    /// A file-size limit and a closed standard error then come as errors of the write, not as deadly signals.
    public static func watch() {
        received.store(0, ordering: .relaxed)
        for number in [SIGXFSZ, SIGPIPE] { Foundation.signal(number, SIG_IGN) }
        for number in [SIGINT, SIGTERM] {
            Foundation.signal(number) { number in
                if Interruption.note(number) {
                    Foundation.signal(number, SIG_DFL)
                    raise(number)
                }
            }
        }
    }

    /// Gives the signals their usual effect again.
    public static func unwatch() {
        for number in [SIGINT, SIGTERM, SIGXFSZ, SIGPIPE] { Foundation.signal(number, SIG_DFL) }
    }

    /// The signal that came since ``watch()``, or nil.
    public static var signal: Int32? {
        let number = received.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Notes a signal; whether one had come before. Runs in a signal handler.
    private static func note(_ number: Int32) -> Bool {
        received.exchange(number, ordering: .relaxed) != 0
    }
}
